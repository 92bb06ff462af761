"""The caller's own control: other models to fall back on, and which providers may answer, in which order."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Catalogue, Health, TargetHealth
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


async def ask(answers: int = 9, *, ports: FakePorts | None = None, **fields: Any) -> tuple[Answer, list[str]]:
    """A call whose targets all answer 503, in vain; the models that were asked, each once."""
    ports = ports or FakePorts(catalogue=three_targets())
    for name in ("deepseek", "mirror", "zai"):
        ports.upstream.answer(name, *(Reply(status=503) for _ in range(answers)))
    headers = fields.pop("headers", None)
    answer = await chat(ports, headers=headers, **fields)
    return answer, list(dict.fromkeys(document["model"] for document in ports.upstream.documents()))


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ({}, ["a", "b", "c"]),
        ({"order": None, "sort": None}, ["a", "b", "c"]),
        ({"order": ["zai"]}, ["c", "a", "b"]),
        ({"order": ["zai", "mirror"]}, ["c", "b", "a"]),
        ({"order": ["zai", "mirror"], "allow_fallbacks": False}, ["c", "b"]),
        ({"allow_fallbacks": False}, ["a"]),
        ({"order": []}, ["a", "b", "c"]),
        ({"order": ["Zai"]}, ["c", "a", "b"]),
        ({"order": ["moonshot"]}, ["a", "b", "c"]),
        ({"order": [], "allow_fallbacks": False}, ["a"]),
        ({"ignore": ["deepseek"], "allow_fallbacks": False}, ["b"]),
        ({"sort": "price", "allow_fallbacks": False}, ["b"]),
        ({"order": ["zai", "mirror"], "ignore": ["zai"]}, ["b", "a"]),
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


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("order", "zai, mirror", ["c", "b", "a"]),
        ("ignore", "deepseek,zai", ["b"]),
        ("sort", "price", ["b", "a", "c"]),
        ("max-price", "prompt=0.1", ["b"]),
        ("max-price", "prompt=2, completion=8", ["a", "b", "c"]),
        ("allow-fallbacks", "false", ["a"]),
        ("allow-fallbacks", "True", ["a", "b", "c"]),
    ],
)
async def test_each_preference_has_a_header(name: str, text: str, asked: list[str]) -> None:
    _, names = await ask(headers={f"x-haotokai-provider-{name}": text})

    assert names == asked


async def test_the_body_wins_over_a_header_field_by_field() -> None:
    headers = {"x-haotokai-provider-order": "zai", "x-haotokai-provider-ignore": "deepseek"}

    _, names = await ask(headers=headers, provider={"order": ["mirror"], "ignore": None})

    assert names == ["b", "c"]


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ([], "provider"),
        ("zai", "provider"),
        ({"only": ["zai"]}, "provider"),
        ({"order": "zai"}, "provider.order"),
        ({"order": [1]}, "provider.order"),
        ({"order": [""]}, "provider.order"),
        ({"order": ["nobody"]}, "provider.order"),
        ({"order": ["moonshot"], "allow_fallbacks": False}, "provider.order"),
        ({"order": ["x" * 129]}, "provider.order"),
        ({"ignore": ["nobody"]}, "provider.ignore"),
        ({"ignore": ["zai"] * 33}, "provider.ignore"),
        ({"ignore": ["deepseek", "mirror", "zai"]}, "provider.ignore"),
        ({"ignore": ["zai"], "order": ["zai"], "allow_fallbacks": False}, "provider.order"),
        ({"sort": "beauty"}, "provider.sort"),
        ({"sort": ["price"]}, "provider.sort"),
        ({"max_price": 1}, "provider.max_price"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price"),
        ({"max_price": {"prompt": True}}, "provider.max_price"),
        ({"max_price": {"prompt": -1}}, "provider.max_price"),
        ({"max_price": {"prompt": 1e300}}, "provider.max_price"),
        ({"max_price": {"image": 1}}, "provider.max_price"),
        ({"max_price": {"prompt": 10**400}}, "provider.max_price"),
        ({"max_price": {"prompt": 0.000001}}, "provider.max_price"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
    ],
)
async def test_preferences_that_do_not_fit_are_refused_and_named(provider: Any, param: str) -> None:
    answer, asked = await ask(provider=provider)

    assert (answer.status, answer.error()["code"], answer.error()["param"]) == (400, "invalid_request", param)
    assert asked == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("order", ""),
        ("order", "zai,"),
        ("order", "nobody"),
        ("ignore", "zai,," * 33),
        ("sort", "beauty"),
        ("max-price", "1"),
        ("max-price", "prompt"),
        ("max-price", "prompt=1;completion=2"),
        ("allow-fallbacks", "no"),
    ],
)
async def test_a_header_that_does_not_fit_is_refused_as_its_field_would_be(name: str, text: str) -> None:
    answer, asked = await ask(headers={f"x-haotokai-provider-{name}": text})

    assert (answer.status, answer.error()["param"]) == (400, f"provider.{name.replace('-', '_')}")
    assert asked == []


async def test_a_refusal_says_who_would_have_answered() -> None:
    answer, _ = await ask(provider={"max_price": {"prompt": 0.01}}, models=["glm-4.6"])

    assert answer.error()["message"] == (
        "'provider.max_price' leaves nobody to ask: deepseek-chat or glm-4.6 would be answered by deepseek or mirror or"
        " zai."
    )


async def test_a_price_is_what_the_caller_pays_with_the_margin() -> None:
    dearer = replace(CHEAP, margin_basis_points=1)
    served = catalogue(model("deepseek-chat", target("mirror", "a", dearer), target("zai", "b", CHEAP)))

    _, sorted_by_price = await ask(ports=FakePorts(catalogue=served), provider={"sort": "price"})
    _, affordable = await ask(ports=FakePorts(catalogue=served), provider={"max_price": {"prompt": "0.1"}})

    assert sorted_by_price == ["b", "a"]
    assert affordable == ["b"]


async def test_a_price_is_that_of_the_request_s_size() -> None:
    steep = price_row("steep", [(100, CHEAP.tiers[0].rates), (None, rates(input_price=10**7, cached=0, output=10**7))])
    served = catalogue(model("deepseek-chat", target("mirror", "a", steep), target("zai", "b", DEAR)))
    long = [{"role": "user", "content": "Hello " * 100}]

    _, short = await ask(ports=FakePorts(catalogue=served), provider={"sort": "price"})
    _, large = await ask(ports=FakePorts(catalogue=served), provider={"sort": "price"}, messages=long)

    assert (short, large) == (["a", "b"], ["b", "a"])


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"models": ["glm-4.6"]}, ["a", "b", "c", "d"]),
        ({"models": ["deepseek-chat", "glm-4.6", "glm-4.6"]}, ["a", "b", "c", "d"]),
        ({"model": "glm-4.6", "models": ["deepseek-chat"]}, ["d", "a", "b", "c"]),
        ({"model": None, "models": ["glm-4.6", "deepseek-chat"]}, ["d", "a", "b", "c"]),
        ({"headers": {"x-haotokai-models": "glm-4.6, deepseek-chat"}}, ["a", "b", "c", "d"]),
        ({"headers": {"x-haotokai-models": "glm-4.6"}, "models": ["deepseek-chat"]}, ["a", "b", "c"]),
        ({"headers": {"x-haotokai-models": "glm-4.6"}, "model": None}, ["d"]),
        ({"models": ["glm-4.6"], "provider": {"sort": "price"}}, ["b", "a", "c", "d"]),
        ({"models": ["glm-4.6"], "provider": {"order": ["zai"]}}, ["c", "a", "b", "d"]),
        ({"models": ["glm-4.6"], "provider": {"order": ["zai"], "allow_fallbacks": False}}, ["c", "d"]),
        ({"models": ["glm-4.6"], "provider": {"allow_fallbacks": False}}, ["a", "d"]),
        ({"models": ["glm-4.6"], "provider": {"ignore": ["zai"]}}, ["a", "b"]),
    ],
)
async def test_the_models_to_fall_back_on_come_behind_the_one_that_is_asked_for(
    fields: dict[str, Any], asked: list[str]
) -> None:
    _, names = await ask(**fields)

    assert names == asked


@pytest.mark.parametrize("models", [[], "glm-4.6", [1], [""], ["x" * 129], ["glm-4.6"] * 9, {}])
async def test_a_list_of_models_that_does_not_fit_is_refused(models: Any) -> None:
    answer, asked = await ask(models=models)

    assert (answer.status, answer.error()["param"], asked) == (400, "models", [])


@pytest.mark.parametrize("fields", [{"model": None}, {"model": ""}, {"model": "x" * 129}, {"model": 1}])
async def test_one_model_at_least_must_be_named(fields: dict[str, Any]) -> None:
    answer, asked = await ask(**fields)

    assert (answer.status, answer.error()["param"], asked) == (400, "model", [])


async def test_no_provider_is_sent_what_is_for_us() -> None:
    ports = FakePorts(catalogue=three_targets())

    await ask(ports=ports, models=["glm-4.6"], provider={"sort": "price"})

    assert all(not {"models", "provider"} & document.keys() for document in ports.upstream.documents())


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
    served = catalogue(
        model("deepseek-chat", target("deepseek", "a", DEAR)), model("glm-4.6", target("mirror", "d", CHEAP))
    )
    ports = FakePorts(catalogue=served)
    ports.upstream.answer("deepseek", *(Reply(status=503) for _ in range(3)))
    ports.upstream.answer("mirror", json_reply(whole_answer()))

    answer = await chat(ports, models=["glm-4.6"])

    [record] = ports.records()
    assert (record.model, record.served_model, record.price_row) == ("deepseek-chat", "glm-4.6", "cheap")
    assert answer.headers["x-haotokai-model"] == "glm-4.6"
    assert ports.open_holds() == 0


def with_health(served: Catalogue, *healths: TargetHealth) -> FakePorts:
    return FakePorts(catalogue=replace(served, health={(item.provider, item.model): item for item in healths}))


def health(provider: str, model: str, state: Health, *, first_event_ms: int | None, speed: int | None) -> TargetHealth:
    return TargetHealth(
        provider=provider, model=model, health=state, first_event_ms=first_event_ms, tokens_per_second=speed
    )


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ({}, ["b", "c", "a"]),
        ({"order": ["deepseek"]}, ["b", "c", "a"]),
        ({"sort": "latency"}, ["b", "c", "a"]),
        ({"allow_fallbacks": False}, ["b"]),
        ({"order": ["deepseek"], "allow_fallbacks": False}, ["a"]),
    ],
)
async def test_a_target_that_is_down_is_asked_when_all_others_have_failed(
    provider: dict[str, Any], asked: list[str]
) -> None:
    ports = with_health(three_targets(), health("deepseek", "a", "down", first_event_ms=10, speed=500))

    _, names = await ask(ports=ports, provider=provider)

    assert names == asked


async def test_a_model_that_is_down_everywhere_comes_behind_those_to_fall_back_on() -> None:
    served = catalogue(model("deepseek-chat", target("deepseek", "a")), model("glm-4.6", target("zai", "d")))
    ports = with_health(served, health("deepseek", "a", "down", first_event_ms=None, speed=None))

    _, asked = await ask(ports=ports, models=["glm-4.6"])

    assert asked == ["d", "a"]


@pytest.mark.parametrize(("sort", "asked"), [("latency", ["c", "b", "a"]), ("throughput", ["b", "c", "a"])])
async def test_what_is_not_known_of_a_target_sorts_last(sort: str, asked: list[str]) -> None:
    ports = with_health(
        three_targets(),
        health("mirror", "b", "degraded", first_event_ms=501, speed=91),
        health("zai", "c", "healthy", first_event_ms=500, speed=90),
    )

    _, names = await ask(ports=ports, provider={"sort": sort})

    assert names == asked


async def test_a_target_whose_provider_cannot_do_what_is_asked_is_passed_over() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    served = catalogue(
        model("deepseek-chat", target("deepseek", "a")),
        model("glm-4.6", target("mirror", "d"), image_tokens=1_000),
    )

    _, seeing = await ask(
        ports=FakePorts(catalogue=served), models=["glm-4.6"], messages=[{"role": "user", "content": [image]}]
    )
    _, reading = await ask(ports=FakePorts(catalogue=served), models=["glm-4.6"])

    assert (seeing, reading) == (["d"], ["a", "d"])


async def test_a_delivery_that_is_not_known_is_refused() -> None:
    answer, asked = await ask(headers={"x-haotokai-delivery": "half"})

    assert (answer.status, answer.error()["param"], asked) == (400, "x-haotokai-delivery", [])


async def test_a_target_is_never_asked_for_more_output_than_it_gives() -> None:
    small = replace(target("deepseek", "a"), max_output_tokens=100)
    ports = FakePorts(catalogue=catalogue(model("deepseek-chat", small, target("mirror", "b"))))

    await ask(ports=ports, max_tokens=5_000)

    asked = {document["model"]: document["max_tokens"] for document in ports.upstream.documents()}
    assert asked == {"a": 100, "b": 5_000}
