"""The operator's API keys at a provider: several, separated by commas, are used in turn, and one that is refused or
limited there rests for a while."""

from hashlib import sha256

MAX_RESTING = 1_000


class KeyPool:
    """The keys of one isolate that rest, by their hash. Times come in as arguments."""

    def __init__(self) -> None:
        self._rests_until_ms: dict[str, int] = {}
        self._turn = 0

    def keys(self, secret: str, *, now_ms: int) -> tuple[str, ...]:
        """The keys to try: those that do not rest, in turn; where all rest, the one that is free first, alone. None
        where the secret holds none."""
        keys = [key.strip() for key in secret.split(",") if key.strip()]
        if len(keys) < 2:
            return tuple(keys)
        awake = [key for key in keys if self._until_ms(key) <= now_ms]
        if not awake:
            return (min(keys, key=self._until_ms),)
        self._turn += 1
        start = self._turn % len(awake)
        return (*awake[start:], *awake[:start])

    def rest(self, key: str, *, until_ms: int) -> None:
        """Leave the key out until then, whatever was said of it before."""
        name = _name(key)
        if name not in self._rests_until_ms and len(self._rests_until_ms) >= MAX_RESTING:
            del self._rests_until_ms[next(iter(self._rests_until_ms))]
        self._rests_until_ms[name] = until_ms

    def _until_ms(self, key: str) -> int:
        return self._rests_until_ms.get(_name(key), 0) if self._rests_until_ms else 0


def _name(key: str) -> str:
    return sha256(key.encode()).hexdigest()
