"""What a request used and what it cost."""

from typing import Any, Literal

from gateway.fields import Fields
from gateway.frozen import frozen
from gateway.money import NanoUsd
from gateway.records.plain import to_object

UsageState = Literal["complete", "partial", "failed", "abandoned"]
DEAD_LETTERS_KV_PREFIX = "dead:"


def dead_letters_kv_name(account_id: str) -> str:
    """The KV name that says that an account's usage could not be delivered."""
    return DEAD_LETTERS_KV_PREFIX + account_id


@frozen
class Usage:
    """Tokens of one answer. ``cached_tokens`` are part of the prompt, ``reasoning_tokens`` of the completion."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int


NO_USAGE = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0, reasoning_tokens=0)


@frozen
class Attempt:
    """One try at one target: ``outcome`` is ``ok`` or the typed cause why we moved on; status 0 is no answer."""

    provider: str
    model: str
    outcome: str
    status: int
    ms: int

    def to_json(self) -> dict[str, Any]:
        return to_object(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "Attempt":
        return cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            outcome=fields.text("outcome"),
            status=fields.integer("status"),
            ms=fields.integer("ms"),
        )


@frozen
class UsageRecord:
    """What one request used and what it cost; ``request_id`` identifies it everywhere and forever.

    ``model`` is the public name that was asked for, ``served_model`` the one that answered. A record without a
    ``price_row`` costs nothing. ``estimated`` says that the tokens were counted here, not reported by the provider.
    """

    request_id: str
    account_id: str
    key_id: str
    model: str
    served_model: str | None
    provider: str | None
    usage: Usage
    cost_nano_usd: NanoUsd
    price_row: str | None
    state: UsageState
    estimated: bool
    stream: bool
    attempts: tuple[Attempt, ...]
    started_at_ms: int
    first_event_ms: int | None
    total_ms: int

    def to_json(self) -> dict[str, Any]:
        return to_object(self)
