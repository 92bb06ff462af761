"""GET /v1/models: what can be asked for, what it costs now, what it maps to; for everyone."""

from dataclasses import replace

from gateway.records import Peak, TargetHealth
from tests.unit.gateway.catalogues import CATALOGUE, FLAT, NOW_MS, catalogue, model, price_row, rates, target
from tests.unit.gateway.fakes import FakePorts, ask


async def test_every_model_is_listed_without_a_key() -> None:
    answer = await ask(FakePorts(), "GET", "/v1/models", api_key=None)

    assert answer.json()["object"] == "list"
    assert [item["id"] for item in answer.json()["data"]] == list(CATALOGUE.models)
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_a_model_says_what_it_maps_to_and_what_it_costs() -> None:
    answer = await ask(FakePorts(), "GET", "/v1/models/deepseek-chat", api_key=None)

    shown = answer.json()
    assert (shown["id"], shown["object"], shown["owned_by"]) == ("deepseek-chat", "model", "deepseek")
    assert (shown["maps_to"], shown["max_output_tokens"]) == ("deepseek-flash", 8_192)
    assert shown["price"]["input"] == "0.15"
    assert (shown["price"]["cached_input"], shown["price"]["output"]) == ("0.003", "0.60")
    assert shown["price"]["row"] == "flat"
    assert shown["price"]["tiers"] == [
        {"up_to_input_tokens": None, "input": "0.15", "cached_input": "0.003", "output": "0.60"}
    ]


async def test_a_model_s_tiers_are_shown() -> None:
    shown = (await ask(FakePorts(), "GET", "/v1/models/qwen3-max")).json()

    assert [tier["up_to_input_tokens"] for tier in shown["price"]["tiers"]] == [32, None]
    assert shown["price"]["input"] == "1.20"


async def test_the_price_of_the_moment_is_shown_beside_the_peak_s() -> None:
    dear = rates(input_price=300_000, cached=6_000, output=1_200_000)
    peak = Peak(utc_offset_minutes=0, weekdays=tuple(range(7)), holidays=(), windows_minutes=((0, 1440),), rates=dear)
    ports = FakePorts(catalogue=catalogue(model("m", target("deepseek", "d", replace(FLAT, peak=peak)))))

    shown = (await ask(ports, "GET", "/v1/models/m")).json()["price"]

    assert (shown["input"], shown["peak"]["input"], shown["tiers"][0]["input"]) == ("0.30", "0.30", "0.15")


async def test_a_model_without_a_price_in_force_shows_none() -> None:
    later = replace(FLAT, effective_from_ms=NOW_MS + 1)
    ports = FakePorts(catalogue=catalogue(model("m", target("deepseek", "d", later))))

    assert (await ask(ports, "GET", "/v1/models/m")).json()["price"] is None


async def test_each_target_is_shown_in_order_with_its_own_limits_price_and_health() -> None:
    dear = price_row("dear", [(None, rates(input_price=10**6, cached=10**6, output=10**7))])
    second = replace(target("zai", "z", dear), context_length=1_000, max_output_tokens=100)
    health = TargetHealth(provider="zai", model="z", health="degraded", first_event_ms=800, tokens_per_second=None)
    served = replace(catalogue(model("m", target("deepseek", "d"), second)), health={("zai", "z"): health})

    first, other = (await ask(FakePorts(catalogue=served), "GET", "/v1/models/m")).json()["targets"]

    assert (first["provider"], first["model"], first["context_length"], first["max_output_tokens"]) == (
        "deepseek",
        "d",
        131_072,
        8_192,
    )
    assert (first["price"]["row"], first["health"]) == ("flat", None)
    assert (other["provider"], other["context_length"], other["max_output_tokens"]) == ("zai", 1_000, 100)
    assert other["price"]["output"] == "10.00"
    assert other["health"] == {"state": "degraded", "first_event_ms": 800, "tokens_per_second": None}


async def test_a_model_that_does_not_exist_is_not_found() -> None:
    answer = await ask(FakePorts(), "GET", "/v1/models/gpt-0", api_key=None)

    assert (answer.status, answer.error()["code"]) == (404, "model_not_found")


async def test_a_model_s_name_may_hold_a_slash_or_a_percent_sign() -> None:
    names = ("qwen/qwen3", "a%41")
    ports = FakePorts(catalogue=catalogue(*(model(name, target("deepseek", "d")) for name in names)))

    for name in names:
        assert (await ask(ports, "GET", f"/v1/models/{name}")).json()["id"] == name
