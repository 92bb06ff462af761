"""The key that signs receipts: Ed25519, from the settings, or made once and kept among the data."""

import base64
import binascii
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from control_plane.randomness import RandomBytes

ALGORITHM: Final = "Ed25519"
KEY_BYTES: Final = 32
FILE_NAME: Final = "receipt-signing-key"


class ReceiptKeyRefused(ValueError):
    """A text is not a key of 32 bytes in base64. It is not repeated."""

    def __init__(self) -> None:
        super().__init__(f"must be {KEY_BYTES} bytes in base64")


class ReceiptPublicKey:
    """What anyone can check receipts with; ``text`` is its 32 bytes in base64."""

    def __init__(self, text: str) -> None:
        """Raises ReceiptKeyRefused."""
        raw = _decode(text)
        self.text = text
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.key_id = hashlib.sha256(raw).hexdigest()[:16]

    def has_signed(self, text: str, signature: str) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
            self._key.verify(raw, text.encode())
        except (ValueError, InvalidSignature):
            return False
        # Base64 can write the same bytes in several ways, of which one is right.
        return _encode(raw) == signature


class ReceiptKey:
    """Signs receipts. The same text always has the same signature, so it need not be kept."""

    def __init__(self, text: str) -> None:
        """Raises ReceiptKeyRefused."""
        self._key = Ed25519PrivateKey.from_private_bytes(_decode(text))
        self.public = ReceiptPublicKey(_encode(self._key.public_key().public_bytes_raw()))

    @classmethod
    def kept_in(cls, folder: Path, randomness: RandomBytes) -> "ReceiptKey":
        """The key of this folder, made when there is none. Raises ReceiptKeyRefused."""
        file = folder / FILE_NAME
        if not file.exists():
            _write_once(file, _encode(randomness(KEY_BYTES)))
        return cls(file.read_text("ascii").strip())

    def sign(self, text: str) -> str:
        return _encode(self._key.sign(text.encode()))

    def __repr__(self) -> str:
        return f"ReceiptKey(key_id={self.public.key_id!r})"


def _write_once(file: Path, text: str) -> None:
    """Whole or not at all, and never over a key that another process wrote meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent)  # readable by its owner alone
    try:
        with os.fdopen(descriptor, "w") as draft:
            draft.write(text + "\n")
            draft.flush()
            os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ReceiptKeyRefused from error
    if len(raw) != KEY_BYTES or _encode(raw) != text:
        raise ReceiptKeyRefused
    return raw
