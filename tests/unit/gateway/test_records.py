"""The contract: every record survives KV, queue and wire unchanged, and what does not fit is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fields import FieldError, Fields
from gateway.money import MAX_NANO_USD, NanoUsd, PicoUsd
from gateway.records import (
    Attempt,
    Catalogue,
    Grant,
    KeyLimits,
    KeyRecord,
    Model,
    Peak,
    PriceRow,
    Provider,
    Rates,
    Target,
    Tier,
    Usage,
    UsageRecord,
    WalletState,
    encode,
    key_kv_name,
)

KEY = KeyRecord(
    account_id="acct_1",
    key_id="key_1",
    state="active",
    expires_at_ms=1_795_500_000_000,
    models=("kimi-k2", "qwen3-max"),
    limits=KeyLimits(
        requests_per_minute=60,
        tokens_per_minute=100_000,
        concurrent_requests=4,
        spend_cap_nano_usd=NanoUsd(5 * 10**9),
        spend_cap_period="month",
    ),
    version=3,
)
ROW = PriceRow(
    id="kimi-k2/moonshot@2026-09-01#0123abcd",
    effective_from_ms=1,
    effective_until_ms=2,
    tiers=(
        Tier(up_to_input_tokens=10, rates=Rates(input=PicoUsd(1), cached_input=PicoUsd(0), output=PicoUsd(2))),
        Tier(up_to_input_tokens=20, rates=Rates(input=PicoUsd(2), cached_input=PicoUsd(1), output=PicoUsd(3))),
        Tier(up_to_input_tokens=None, rates=Rates(input=PicoUsd(3), cached_input=PicoUsd(2), output=PicoUsd(4))),
    ),
    peak=Peak(
        utc_offset_minutes=-300,
        weekdays=(0, 6),
        holidays=("2026-10-01",),
        windows_minutes=((0, 60), (540, 1440)),
        rates=Rates(input=PicoUsd(9), cached_input=PicoUsd(8), output=PicoUsd(7)),
    ),
    margin_basis_points=25,
    source="https://example.com/prices",
)
PROVIDER = Provider(
    name="moonshot",
    dialect="moonshot",
    base_url="https://example.com/v1",
    api_key_env="MOONSHOT_API_KEY",
    connect_timeout_ms=1,
    first_event_timeout_ms=2,
    idle_timeout_ms=3,
    total_timeout_ms=4,
)
MODEL = Model(
    id="kimi-k2",
    context_length=262_144,
    max_output_tokens=32_768,
    targets=(
        Target(
            provider="moonshot", model="kimi-k2.6", inject={"thinking": {"type": "disabled"}, "n": 1}, prices=(ROW,)
        ),
    ),
)
CATALOGUE = Catalogue(version=7, published_at_ms=8, providers={"moonshot": PROVIDER}, models={"kimi-k2": MODEL})
RECORD = UsageRecord(
    request_id="req_1",
    account_id="acct_1",
    key_id="key_1",
    model="kimi-k2",
    served_model="kimi-k2.6",
    provider="moonshot",
    usage=Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=5, reasoning_tokens=2),
    cost_nano_usd=NanoUsd(12),
    price_row=ROW.id,
    state="complete",
    estimated=False,
    stream=True,
    attempts=(
        Attempt(provider="zai", model="glm-5.2", outcome="overloaded", status=429, ms=20),
        Attempt(provider="moonshot", model="kimi-k2.6", outcome="ok", status=200, ms=300),
    ),
    started_at_ms=1_795_500_000_000,
    first_event_ms=250,
    total_ms=900,
)
GRANT = Grant(id="credit:acct_1:gift", kind="credit", amount_nano_usd=NanoUsd(10**9))
STATE = WalletState(
    account_id="acct_1",
    granted_nano_usd=NanoUsd(100),
    settled_nano_usd=NanoUsd(30),
    held_nano_usd=NanoUsd(20),
    open_holds=1,
    unacknowledged_records=2,
)

FromFields = Callable[[Fields], Any]


def through_json(record: Any) -> Any:
    return type(record).from_fields(Fields.parse(encode(record.to_json()), "record"))


@pytest.mark.parametrize(
    "record",
    [
        KEY,
        replace(KEY, expires_at_ms=None, models=None, limits=KeyLimits(), state="revoked"),
        replace(KEY, models=()),
        CATALOGUE,
        Catalogue(version=0, published_at_ms=0, providers={}, models={}),
        GRANT,
        replace(GRANT, kind="reversal", amount_nano_usd=NanoUsd(-MAX_NANO_USD)),
        STATE,
        replace(STATE, granted_nano_usd=NanoUsd(-5)),
        RECORD.attempts[0],
    ],
)
def test_a_record_passes_through_json_unchanged(record: Any) -> None:
    assert through_json(record) == record


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_passes_through_json_unchanged(text: str) -> None:
    record = replace(GRANT, id=text)

    assert through_json(record) == record


def test_a_record_is_written_compactly_and_readably() -> None:
    assert encode(replace(GRANT, id="流")) == '{"id":"流","kind":"credit","amount_nano_usd":1000000000}'


@pytest.mark.parametrize("record", [RECORD, KEY, STATE])
def test_a_record_is_written_with_those_in_it(record: Any) -> None:
    assert json.loads(encode(record)) == json.loads(encode(record.to_json()))


def changed(record: Any, path: str, value: object) -> Any:
    """The record's JSON with one thing changed; the path is a dotted one."""
    document = json.loads(encode(record.to_json()))
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    place = document
    for part in parents:
        place = place[part]
    place[last] = value
    return document


TIERS = "models.0.targets.0.prices.0.tiers"


@pytest.mark.parametrize(
    ("record", "path", "value"),
    [
        (KEY, "account_id", None),
        (KEY, "state", "asleep"),
        (KEY, "expires_at_ms", -1),
        (KEY, "models", "kimi-k2"),
        (KEY, "limits", None),
        (KEY, "limits.requests_per_minute", "60"),
        (KEY, "limits.spend_cap_nano_usd", -1),
        (KEY, "limits.spend_cap_period", "year"),
        (KEY, "version", None),
        (CATALOGUE, "providers.0.dialect", "latin"),
        (CATALOGUE, "providers.0.idle_timeout_ms", 0),
        (CATALOGUE, "models.0.context_length", 0),
        (CATALOGUE, "models.0.targets.0.inject", []),
        (CATALOGUE, TIERS, []),
        (CATALOGUE, f"{TIERS}.2.up_to_input_tokens", 30),
        (CATALOGUE, f"{TIERS}.0.up_to_input_tokens", None),
        (CATALOGUE, f"{TIERS}.0.up_to_input_tokens", 20),
        (CATALOGUE, f"{TIERS}.0.up_to_input_tokens", 21),
        (CATALOGUE, f"{TIERS}.0.rates.input", -1),
        (CATALOGUE, f"{TIERS}.0.rates.output", 0.5),
        (CATALOGUE, "models.0.targets.0.prices.0.peak.windows_minutes", [[1]]),
        (CATALOGUE, "models.0.targets.0.prices.0.margin_basis_points", -1),
        (GRANT, "kind", "gift"),
        (GRANT, "amount_nano_usd", "1.00"),
        (STATE, "settled_nano_usd", -1),
    ],
)
def test_what_does_not_fit_is_refused(record: Any, path: str, value: object) -> None:
    from_fields: FromFields = type(record).from_fields
    document = changed(record, path, value)

    with pytest.raises(FieldError):
        from_fields(Fields(document, "record"))


def test_fields_of_a_later_version_are_ignored() -> None:
    document = json.loads(encode(KEY)) | {"invented_later": True}

    assert KeyRecord.from_fields(Fields(document, "record")) == KEY


def test_what_is_available_is_granted_less_settled_less_held() -> None:
    assert STATE.available_nano_usd == 50


def test_a_keys_record_stands_under_its_hash() -> None:
    assert key_kv_name("abc") == "key:abc"


def test_a_usage_record_has_no_field_for_what_was_said() -> None:
    """Prompts and answers are never stored: adding a field here is a decision about privacy."""
    assert set(RECORD.to_json()) == {
        "request_id",
        "account_id",
        "key_id",
        "model",
        "served_model",
        "provider",
        "usage",
        "cost_nano_usd",
        "price_row",
        "state",
        "estimated",
        "stream",
        "attempts",
        "started_at_ms",
        "first_event_ms",
        "total_ms",
    }
