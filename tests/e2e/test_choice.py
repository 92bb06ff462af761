"""A caller chooses models and providers with the OpenAI package, and pays for the one that answered."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.e2e.admin import Account, Admin
from tests.e2e.chat import prompt
from tests.e2e.stack import Launcher

# "pair" is dear at its first provider and cheap at its second; "single" is dearer than both.
CATALOGUE = """
[providers.deepseek]
dialect = "deepseek"
base_url = "https://deepseek.invalid"
api_key_env = "DEEPSEEK_API_KEY"
[providers.dashscope]
dialect = "dashscope"
base_url = "https://dashscope.invalid"
api_key_env = "DASHSCOPE_API_KEY"
[providers.zai]
dialect = "zai"
base_url = "https://zai.invalid"
api_key_env = "ZAI_API_KEY"

[models.pair]
context_length = 131072
max_output_tokens = 8192
targets = [
  { provider = "deepseek", model = "deepseek-flash", inject = { thinking = { type = "disabled" } } },
  { provider = "dashscope", model = "qwen3-max", prices = [
    { effective_from = 2026-01-01, input = "0.10", output = "0.20", source = "https://lab.example/cheap" },
  ] },
]
prices = [{ effective_from = 2026-01-01, input = "1.00", output = "2.00", source = "https://lab.example/dear" }]

[models.single]
context_length = 131072
max_output_tokens = 8192
targets = [{ provider = "zai", model = "glm-4.6", inject = { thinking = { type = "disabled" } } }]
prices = [{ effective_from = 2026-01-01, input = "10.00", output = "20.00", source = "https://lab.example/dearest" }]
"""
PRICES_USD = {"deepseek": (1.00, 2.00), "dashscope": (0.10, 0.20), "zai": (10.00, 20.00)}
"""Input and output of a million tokens, by who answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An answer: the public model, its provider, and who was asked, each once."""

    request_id: str
    model: str
    provider: str
    asked: list[str]


class Chooser:
    """The account's OpenAI client, and its books."""

    def __init__(self, client: OpenAI, admin: Admin, account: Account) -> None:
        self.client = client
        self.admin = admin
        self.account = account

    def ask(self, text: str = "Hello", *, headers: dict[str, str] | None = None, **extra: Any) -> Chosen:
        body = prompt(f"{text} [[lab tokens=5]]", model="pair", max_tokens=100)
        response = self.client.chat.completions.with_raw_response.create(
            **body, extra_body=extra, extra_headers=headers or {}
        )
        assert response.parse().choices[0].message.content
        lines = json.loads(response.headers["x-haotokai-attempts"])
        return Chosen(
            request_id=response.headers["x-request-id"],
            model=response.headers["x-haotokai-model"],
            provider=response.headers["x-haotokai-provider"],
            asked=list(dict.fromkeys(line["provider"] for line in lines)),
        )

    def assert_billed(self, chosen: Chosen) -> None:
        """The usage record names who was asked for and who answered, and has the price of the latter."""
        record = self.admin.record_of(self.account.id, chosen.request_id)
        input_usd, output_usd = PRICES_USD[chosen.provider]
        used = record["prompt_tokens"] * input_usd + record["completion_tokens"] * output_usd
        assert (record["model"], record["served_model"], record["provider"]) == ("pair", chosen.model, chosen.provider)
        assert record["price_row"].startswith(f"{chosen.model}/{chosen.provider}@")
        assert record["cost_nano_usd"] == round(used * 1000) > 0


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chooser]:
    folder = tmp_path_factory.mktemp("choice")
    (folder / "catalogue.toml").write_text(CATALOGUE)
    launcher = Launcher(folder, HAOTOKAI_CATALOGUE=str(folder / "catalogue.toml"))
    try:
        stack = launcher.ready()
        admin = Admin(stack.control_plane_url, stack.admin_token)
        account = admin.open_account()
        with OpenAI(base_url=stack.base_url, api_key=account.api_key, max_retries=0, timeout=30) as client:
            yield Chooser(client, admin, account)
        admin.close()
    finally:
        launcher.stop()


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ({}, "deepseek"),
        ({"order": ["dashscope"]}, "dashscope"),
        ({"order": ["dashscope", "deepseek"], "allow_fallbacks": False}, "dashscope"),
        ({"ignore": ["deepseek"]}, "dashscope"),
        ({"sort": "price"}, "dashscope"),
        ({"max_price": {"prompt": 0.5}}, "dashscope"),
        ({"max_price": {"prompt": "1.00", "completion": "2.00"}}, "deepseek"),
        ({"allow_fallbacks": False}, "deepseek"),
    ],
)
def test_the_provider_that_the_caller_prefers_answers(chooser: Chooser, provider: dict[str, Any], asked: str) -> None:
    chosen = chooser.ask(provider=provider)

    assert (chosen.model, chosen.provider, chosen.asked) == ("pair", asked, [asked])


@pytest.mark.parametrize("provider", ["deepseek", "dashscope"])
def test_who_answered_is_paid_at_its_own_price(chooser: Chooser, provider: str) -> None:
    chooser.assert_billed(chooser.ask(provider={"order": [provider]}))


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"x-haotokai-provider-order": "dashscope,deepseek"}, "dashscope"),
        ({"x-haotokai-provider-ignore": "deepseek"}, "dashscope"),
        ({"x-haotokai-provider-sort": "price"}, "dashscope"),
        ({"x-haotokai-provider-max-price": "prompt=0.5,completion=1"}, "dashscope"),
        ({"x-haotokai-provider-allow-fallbacks": "false"}, "deepseek"),
    ],
)
def test_a_header_says_the_same(chooser: Chooser, headers: dict[str, str], asked: str) -> None:
    assert chooser.ask(headers=headers).asked == [asked]


@pytest.mark.parametrize("by_header", [False, True])
def test_a_model_to_fall_back_on_answers_when_all_of_the_first_have_failed(chooser: Chooser, by_header: bool) -> None:
    text = "[[lab deepseek.fault=http-503 dashscope.fault=http-503]] Hello"
    header: dict[str, Any] = {"headers": {"x-haotokai-models": "single"}}

    chosen = chooser.ask(text, **(header if by_header else {"models": ["single"]}))

    assert (chosen.model, chosen.provider, chosen.asked) == ("single", "zai", ["deepseek", "dashscope", "zai"])
    chooser.assert_billed(chosen)
    assert chooser.ask(provider={"order": ["dashscope"]}).provider == "dashscope"  # closes what has failed
    assert chooser.ask().provider == "deepseek"


def test_without_fallbacks_nobody_else_is_asked(chooser: Chooser) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        chooser.ask("[[lab deepseek.fault=http-503]]", provider={"allow_fallbacks": False})

    lines = json.loads(caught.value.response.headers["x-haotokai-attempts"])
    assert {line["provider"] for line in lines} == {"deepseek"}


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"provider": {"only": ["zai"]}}, "provider"),
        ({"provider": {"order": ["nobody"]}}, "provider.order"),
        ({"provider": {"ignore": ["deepseek", "dashscope"]}}, "provider.ignore"),
        ({"provider": {"sort": "beauty"}}, "provider.sort"),
        ({"provider": {"max_price": {"prompt": 0.01}}}, "provider.max_price"),
        ({"provider": {"allow_fallbacks": 1}}, "provider.allow_fallbacks"),
        ({"models": []}, "models"),
        ({"models": [{}]}, "models"),
    ],
)
def test_a_choice_that_does_not_fit_is_400_and_names_its_field(
    chooser: Chooser, extra: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chooser.ask(**extra)

    assert (caught.value.code, caught.value.param) == ("invalid_request", param)


def test_a_key_must_be_allowed_the_models_to_fall_back_on(chooser: Chooser) -> None:
    key = chooser.admin.make_key(chooser.account.id, models=["pair"])["key"]

    with pytest.raises(openai.PermissionDeniedError) as caught:
        chooser.client.with_options(api_key=key).chat.completions.create(
            **prompt(model="pair"), extra_body={"models": ["single"]}
        )

    assert (caught.value.code, caught.value.param) == ("model_not_allowed", "models")


def test_the_list_of_models_shows_who_would_be_asked_and_at_what_price(chooser: Chooser) -> None:
    shown: Any = chooser.client.models.retrieve("pair")

    assert [(target["provider"], target["price"]["input"]) for target in shown.targets] == [
        ("deepseek", "1.00"),
        ("dashscope", "0.10"),
    ]
