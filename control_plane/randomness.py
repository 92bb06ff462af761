"""The operating system's randomness, the one place where it is read."""

import secrets
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]

random_bytes: RandomBytes = secrets.token_bytes
