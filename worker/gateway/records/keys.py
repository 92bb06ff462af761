"""API keys as the edge knows them."""

from typing import Any, Literal, get_args

from gateway.fields import Fields
from gateway.frozen import frozen
from gateway.money import NanoUsd
from gateway.records.plain import to_object

API_KEY_KV_PREFIX = "key:"

KeyState = Literal["active", "revoked"]
SpendCapPeriod = Literal["day", "month", "total"]


def key_kv_name(key_sha256: str) -> str:
    """The KV name under which the record of an API key stands."""
    return API_KEY_KV_PREFIX + key_sha256


@frozen
class KeyLimits:
    """What one key may use; None is no limit. A cap counts settled and held spend of the period, in UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    spend_cap_nano_usd: NanoUsd | None = None
    spend_cap_period: SpendCapPeriod = "total"

    @property
    def has_rate(self) -> bool:
        """Whether something is counted per minute."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @classmethod
    def from_fields(cls, fields: Fields) -> "KeyLimits":
        cap = fields.optional(fields.integer, "spend_cap_nano_usd")
        return cls(
            requests_per_minute=fields.optional(fields.integer, "requests_per_minute"),
            tokens_per_minute=fields.optional(fields.integer, "tokens_per_minute"),
            concurrent_requests=fields.optional(fields.integer, "concurrent_requests"),
            spend_cap_nano_usd=None if cap is None else NanoUsd(cap),
            spend_cap_period=fields.choice("spend_cap_period", get_args(SpendCapPeriod)),
        )


@frozen
class KeyRecord:
    """What the edge knows of an API key, in KV under ``key:<sha256>``. Of two, the higher version is right."""

    account_id: str
    key_id: str
    state: KeyState
    expires_at_ms: int | None
    models: tuple[str, ...] | None
    limits: KeyLimits
    version: int

    def to_json(self) -> dict[str, Any]:
        return to_object(self)

    @classmethod
    def from_fields(cls, fields: Fields) -> "KeyRecord":
        return cls(
            account_id=fields.text("account_id"),
            key_id=fields.text("key_id"),
            state=fields.choice("state", get_args(KeyState)),
            expires_at_ms=fields.optional(fields.integer, "expires_at_ms"),
            models=fields.optional(fields.texts, "models"),
            limits=KeyLimits.from_fields(fields.object("limits")),
            version=fields.integer("version"),
        )
