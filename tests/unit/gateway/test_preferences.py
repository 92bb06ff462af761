"""The caller's own control: other models to fall back on, and which providers may answer, in which order."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Catalogue, TargetHealth
from tests.unit.gateway.catalogues import API_KEY, catalogue, key_record, model, price_row, rates, target, whole_answer
from tests.unit.gateway.fakes import Answer, FakePorts, chat
from tests.unit.gateway.upstreams import Reply, json_reply

CHEAP = price_row("cheap", [(None, rates(input_price=100_000, cached=0, output=200_000))])
DEAR = price_row("dear", [(None, rates(input_price=2_000_000, cached=0, output=8_000_000))])


def three_targets() -> Catalogue:
    return catalogue(
        model("deepseek-chat", target("deepseek", "a", DEAR), target("mirror", "b", CHEAP), target("zai", "c", DEAR)),
        model("glm-4.6", target("zai", "d", CHEAP)),
    )


async def ask(answers: int = 3, *, ports: FakePorts | None = None, **fields: Any) -> tuple[Answer, list[str]]:
    """A call whose targets all answer 503, in vain; the models that were asked."""
    ports = ports or FakePorts(catalogue=three_targets())
    for name in ("deepseek", "mirror", "zai"):
        ports.upstream.answer(name, *(Reply(status=503) for _ in range(answers)))
    headers = fields.pop("headers", None)
    answer = await chat(ports, headers=headers, **fields)
    return answer, [document["model"] for document in ports.upstream.documents()]


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ({}, ["a", "b", "c"]),
        ({"order": None, "sort": None}, ["a", "b", "c"]),
        ({"order": ["zai"]}, ["c", "a", "b"]),
        ({"order": ["zai", "mirror"]}, ["c", "b", "a"]),
        ({"order": ["zai", "mirror"], "allow_fallbacks": False}, ["c", "b"]),
        ({"allow_fallbacks": False}, ["a"]),
        ({"ignore": ["deepseek", "zai"]}, ["b"]),
        ({"sort": "price"}, ["b", "a", "c"]),
        ({"sort": "price", "order": ["zai"]}, ["c", "b", "a"]),
        ({"max_price": {"prompt": 0.1}}, ["b"]),
        ({"max_price": {"prompt": "2", "completion": 8}}, ["a", "b", "c"]),
        ({"max_price": {"completion": "7.999999"}}, ["b"]),
    ],
)
async def test_targets_are_asked_as_the_caller_prefers(provider: dict[str, Any], asked: list[str]) -> None:
    answer, names = await ask(provider=provider)

    assert names == asked
    assert answer.status == 503


async def test_preferences_may_come_in_a_header_and_the_body_wins() -> None:
    headers = {"x-haotokai-preferences": json.dumps({"order": ["zai"]})}

    _, by_header = await ask(headers=headers)
    _, by_body = await ask(headers=headers, provider={"order": ["mirror"]})

    assert by_header == ["c", "a", "b"]
    assert by_body == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ([], "provider"),
        ("zai", "provider"),
        ({"only": ["zai"]}, "provider"),
        ({"order": "zai"}, "provider.order"),
        ({"order": [1]}, "provider.order"),
        ({"order": ["nobody"]}, "provider"),
        ({"ignore": ["zai"] * 33}, "provider.ignore"),
        ({"ignore": ["deepseek", "mirror", "zai"]}, "provider"),
        ({"sort": "beauty"}, "provider.sort"),
        ({"sort": ["price"]}, "provider.sort"),
        ({"max_price": 1}, "provider.max_price"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price"),
        ({"max_price": {"prompt": True}}, "provider.max_price"),
        ({"max_price": {"prompt": -1}}, "provider.max_price"),
        ({"max_price": {"prompt": 1e300}}, "provider.max_price"),
        ({"max_price": {"image": 1}}, "provider.max_price"),
        ({"max_price": {"prompt": 0.000001}}, "provider"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
    ],
)
async def test_preferences_that_do_not_fit_are_refused_and_named(provider: Any, param: str) -> None:
    answer, asked = await ask(provider=provider)

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (400, "invalid_request", param)
    assert asked == []


@pytest.mark.parametrize("header", ["order=zai", "[]", "{", "x" * 5000])
async def test_a_header_that_is_no_object_is_refused(header: str) -> None:
    answer, asked = await ask(headers={"x-haotokai-preferences": header})

    assert (answer.status, answer.error()["param"], asked) == (400, "provider", [])


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"models": ["glm-4.6"]}, ["a", "b", "c", "d"]),
        ({"models": ["deepseek-chat", "glm-4.6", "glm-4.6"]}, ["a", "b", "c", "d"]),
        ({"model": "glm-4.6", "models": ["deepseek-chat"]}, ["d", "a", "b", "c"]),
        ({"model": None, "models": ["glm-4.6", "deepseek-chat"]}, ["d", "a", "b", "c"]),
        ({"headers": {"x-haotokai-models": "glm-4.6, deepseek-chat"}}, ["a", "b", "c", "d"]),
        ({"models": ["glm-4.6"], "provider": {"sort": "price"}}, ["b", "a", "c", "d"]),
    ],
)
async def test_the_models_to_fall_back_on_come_behind_the_one_that_is_asked_for(
    fields: dict[str, Any], asked: list[str]
) -> None:
    _, names = await ask(**fields)

    assert names == asked


@pytest.mark.parametrize("models", [[], "glm-4.6", [1], [""], ["glm-4.6"] * 9, {}])
async def test_a_list_of_models_that_does_not_fit_is_refused(models: Any) -> None:
    answer, asked = await ask(models=models)

    assert (answer.status, answer.error()["param"], asked) == (400, "models", [])


async def test_a_model_to_fall_back_on_must_exist() -> None:
    answer, asked = await ask(models=["glm-9"])

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (404, "model_not_found", "models")
    assert asked == []


async def test_a_key_must_be_allowed_every_model_of_the_list() -> None:
    ports = FakePorts(catalogue=three_targets())
    ports.add_key(API_KEY, key_record(models=("deepseek-chat",)))

    answer, asked = await ask(ports=ports, models=["glm-4.6"])

    assert (answer.status, answer.error()["param"], asked) == (403, "models", [])


async def test_only_the_model_that_answered_is_billed_and_named() -> None:
    ports = FakePorts(catalogue=three_targets())
    ports.upstream.answer("deepseek", Reply(status=503))
    ports.upstream.answer("mirror", Reply(status=503))
    ports.upstream.answer("zai", Reply(status=503), json_reply(whole_answer()))

    answer = await chat(ports, models=["glm-4.6"])

    [record] = ports.records()
    assert (record.model, record.served_model, record.price_row) == ("deepseek-chat", "glm-4.6", "cheap")
    assert answer.headers["x-haotokai-model"] == "glm-4.6"
    assert ports.open_holds() == 0


async def test_a_wallet_that_cannot_pay_for_the_fallback_asks_the_first_model_alone() -> None:
    dearest = price_row("dearest", [(None, rates(input_price=10**12, cached=0, output=10**12))])
    served = catalogue(
        model("deepseek-chat", target("mirror", "b", CHEAP)), model("glm-4.6", target("zai", "d", dearest))
    )
    ports = FakePorts(catalogue=served)

    _, asked = await ask(ports=ports, models=["glm-4.6"])

    assert asked == ["b"]


async def test_a_target_that_is_down_comes_last_and_what_is_not_known_sorts_last() -> None:
    served = three_targets()
    healths = [
        TargetHealth(provider="deepseek", model="a", health="down", first_event_ms=10, tokens_per_second=None),
        TargetHealth(provider="zai", model="c", health="healthy", first_event_ms=500, tokens_per_second=90),
    ]
    served = replace(served, health={(health.provider, health.model): health for health in healths})

    _, as_is = await ask(ports=FakePorts(catalogue=served))
    _, by_latency = await ask(ports=FakePorts(catalogue=served), provider={"sort": "latency"})
    _, by_throughput = await ask(ports=FakePorts(catalogue=served), provider={"sort": "throughput"})

    assert as_is == ["b", "c", "a"]
    assert by_latency == ["a", "c", "b"]
    assert by_throughput == ["c", "b", "a"]


async def test_a_delivery_that_is_not_known_is_refused() -> None:
    answer, asked = await ask(headers={"x-haotokai-delivery": "half"})

    assert (answer.status, answer.error()["param"], asked) == (400, "x-haotokai-delivery", [])


async def test_a_target_is_never_asked_for_more_output_than_it_gives() -> None:
    small = replace(target("deepseek", "a"), max_output_tokens=100)
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", small, target("mirror", "b"))))

    await ask(ports=ports, max_tokens=5_000)

    assert [document["max_tokens"] for document in ports.upstream.documents()] == [100, 5_000]
