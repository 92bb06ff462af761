"""The contract between the edge and the control plane: what stands in KV, in queue messages and in internal calls.

Each record is a frozen value with ``to_json`` (a plain JSON object) and ``from_fields`` (which refuses, with
FieldError, what does not fit); usage records, which only the control plane reads, are checked by it. Amounts are
nano-USD, prices pico-USD per token, times milliseconds since 1970 UTC.
"""

from gateway.records.catalogue import (
    CATALOGUE_KV_KEY,
    DRILL_URL,
    Catalogue,
    Dialect,
    Health,
    Model,
    Provider,
    Target,
    TargetHealth,
)
from gateway.records.grants import Grant, GrantKind, WalletState
from gateway.records.keys import API_KEY_KV_PREFIX, KeyLimits, KeyRecord, KeyState, SpendCapPeriod, key_kv_name
from gateway.records.plain import encode, encode_ascii, encode_given, from_object, to_object
from gateway.records.prices import Peak, PriceRow, Rates, Tier
from gateway.records.usage import (
    DEAD_LETTERS_KV_PREFIX,
    NO_USAGE,
    Attempt,
    Usage,
    UsageRecord,
    UsageState,
    dead_letters_kv_name,
)

__all__ = [
    "API_KEY_KV_PREFIX",
    "CATALOGUE_KV_KEY",
    "DEAD_LETTERS_KV_PREFIX",
    "DRILL_URL",
    "NO_USAGE",
    "Attempt",
    "Catalogue",
    "Dialect",
    "Grant",
    "GrantKind",
    "Health",
    "KeyLimits",
    "KeyRecord",
    "KeyState",
    "Model",
    "Peak",
    "PriceRow",
    "Provider",
    "Rates",
    "SpendCapPeriod",
    "Target",
    "TargetHealth",
    "Tier",
    "Usage",
    "UsageRecord",
    "UsageState",
    "WalletState",
    "dead_letters_kv_name",
    "encode",
    "encode_ascii",
    "encode_given",
    "from_object",
    "key_kv_name",
    "to_object",
]
