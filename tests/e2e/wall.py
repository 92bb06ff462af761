"""The fault wall: a stack whose providers are one fault server, calls to it as a customer makes them, and what was seen
of a call on every side: by the caller, by each provider, in the books.
"""

import json
import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2

from gateway.records import WalletState
from tests.e2e.admin import Account, Admin, Record
from tests.e2e.chat import prompt
from tests.e2e.fault_server import Act, Asked, FaultServer
from tests.e2e.faults import LAST_WORD_BEFORE
from tests.e2e.internal import Internal
from tests.e2e.stack import ROOT, Stack
from tests.e2e.waiting import eventually

FIRST_EVENT_MS, IDLE_MS, TOTAL_MS = 1_500, 1_200, 4_000
"""How patient the gateway is with a provider: until the first event, between two, in all."""

PATIENCE = {"second": (3_000, 12_000), "patient": (25_000, 25_000)}
"""With whom it is more patient, until the first event and in all, so that a call has time left for them."""

PROMPT_NANO_USD, COMPLETION_NANO_USD = 1_000, 2_000
"""What a token costs."""

FORMS: Mapping[str, Mapping[str, Any]] = {
    "stream": {"stream": True},
    "assembled": {},
    "in one piece": {"fields": {"max_tokens": 16}},
}
"""The forms of a call, as a Case has them: a stream; an answer that is streamed to the gateway and put together there;
and one that is so short that it comes in one piece."""

CALLS_AT_ONCE = 12
PAIRS, MODELS_OF_A_KIND = 350, 30
CALL_LIMIT_S = 40

PROVIDER = """
[providers.{name}]
dialect = "{dialect}"
base_url = "{base_url}"
api_key_env = "{key}"
first_event_timeout_ms = {first_event_ms}
idle_timeout_ms = {idle_ms}
total_timeout_ms = {total_ms}
"""
MODEL = """
[models."{name}"]
context_length = 8192
max_output_tokens = 4096
targets = [{targets}]
prices = [{{ effective_from = 2026-01-01, input = "1.00", output = "2.00", source = "https://wall.example/prices" }}]
"""

LABS = ("deepseek", "moonshot", "dashscope", "zai", "spark")
KINDS: Mapping[str, Sequence[tuple[str, int]]] = {
    "pair": [("first", 8192), ("second", 8192)],
    "single": [("first", 8192)],
    "closed": [("closed", 8192), ("second", 8192)],
    "context": [("first", 4096), ("third", 4096), ("second", 16384)],
    "pooled": [("pooled", 8192), ("second", 8192)],
    "patient": [("patient", 8192)],
    "late": [("patient", 8192), ("second", 8192)],
    **{lab: [(f"{lab}_wall", 8192), ("second", 8192)] for lab in LABS},
}
"""The kinds of models, each with the providers of its targets and the context length there."""

DIALECTS = dict.fromkeys(("first", "second", "third", "pooled", "patient"), "openai")
DIALECTS |= {f"{lab}_wall": lab for lab in LABS}
KEYS = {"POOLED_API_KEY": "pooled-one,pooled-two"}

K = TypeVar("K", bound=Hashable)
Plans = Mapping[str, Sequence[Act]]


def catalogue(server: FaultServer) -> str:
    providers = [_provider(name, dialect, server.base_url(name)) for name, dialect in DIALECTS.items()]
    models = [_model(kind, number) for kind in KINDS for number in range(_count(kind))]
    return "".join([*providers, _provider("closed", "openai", server.closed_url), *models, _drills()])


def _drills() -> str:
    """The project's own drill models, which stand last in its catalogue."""
    _, head, drills = (ROOT / "catalogue.toml").read_text().partition("\n[providers.drill]\n")
    assert head
    return head + drills


def _count(kind: str) -> int:
    return PAIRS if kind == "pair" else MODELS_OF_A_KIND


def _provider(name: str, dialect: str, base_url: str) -> str:
    first_event_ms, total_ms = PATIENCE.get(name, (FIRST_EVENT_MS, TOTAL_MS))
    return PROVIDER.format(
        name=name,
        dialect=dialect,
        base_url=base_url,
        key=f"{name.upper()}_API_KEY",
        first_event_ms=first_event_ms,
        idle_ms=IDLE_MS,
        total_ms=total_ms,
    )


def _model(kind: str, number: int) -> str:
    name = f"{kind}-{number}"
    targets = [
        f'{{ provider = "{provider}", model = "{name}", context_length = {context_length} }}'
        for provider, context_length in KINDS[kind]
    ]
    return MODEL.format(name=name, targets=", ".join(targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller got. ``error`` is an error's object, as the body or as an event of a stream; ``is_readable`` says
    that every event is JSON or the end mark.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    finishes: tuple[str, ...]
    events: tuple[str, ...]
    comments: tuple[str, ...]
    error: Mapping[str, Any] | None
    is_readable: bool
    seconds: float

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]

    @property
    def attempts(self) -> list[tuple[str, str]]:
        """Provider and outcome of each."""
        return [(line["provider"], line["outcome"]) for line in json.loads(self.headers["x-haotokai-attempts"])]

    @property
    def is_done(self) -> bool:
        """Whether a stream has its end mark."""
        return self.events[-1:] == ("[DONE]",)

    @property
    def code(self) -> str | None:
        return None if self.error is None else self.error["code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call: what the providers do about it, and how it is asked."""

    plans: Plans
    stream: bool = False
    kind: str = "pair"
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A call from all sides."""

    answer: Answer
    record: Record
    asked: Mapping[str, Sequence[Asked]]

    @property
    def asked_times(self) -> dict[str, int]:
        """How often each provider was asked, of those that were."""
        return {provider: len(calls) for provider, calls in self.asked.items() if calls}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """The stack, its fault server, and one customer."""

    server: FaultServer
    stack: Stack
    admin: Admin
    internal: Internal
    customer: Account
    _taken: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str = "pair", **plans: Sequence[Act]) -> str:
        """A model that no call has touched, so that no circuit knows its targets; with what its providers do."""
        model = f"{kind}-{self._taken[kind]}"
        self._taken[kind] += 1
        assert self._taken[kind] <= _count(kind), f"the catalogue has too few models of the kind {kind}"
        for provider, acts in plans.items():
            self.server.plan(provider, model, *acts)
        return model

    def ask(
        self,
        model: str,
        text: str = "Hello",
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Answer:
        """Ask, and tell the provider as soon as its words before a fault have come, or that they will not come so."""
        own = {"authorization": f"Bearer {self.customer.api_key}", **(headers or {})}
        url, body = f"{self.stack.base_url}/chat/completions", prompt(text, model=model, stream=stream, **fields)
        content, started_s = b"", time.monotonic()
        if own.get("x-haotokai-delivery") == "whole":
            self.server.heard(model)
        with httpx2.stream("POST", url, json=body, headers=own, timeout=CALL_LIMIT_S) as answer:
            for piece in answer.iter_bytes():
                content += piece
                if LAST_WORD_BEFORE.encode() in content:
                    self.server.heard(model)
        return _read(answer, content.decode(), seconds=time.monotonic() - started_s)

    def run(self, cases: Mapping[K, Case]) -> dict[K, Seen]:
        """Make all calls, some of them at a time, and see what became of each once all of it has arrived."""
        models = {name: self.take(case.kind, **case.plans) for name, case in cases.items()}
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            asking = {name: pool.submit(self._ask_case, models[name], case) for name, case in cases.items()}
        answers = {name: future.result() for name, future in asking.items()}
        records = self.admin.records_of(self.customer.id, [answer.request_id for answer in answers.values()])
        return {
            name: Seen(
                answer=answers[name],
                record=records[answers[name].request_id],
                asked={provider: self.server.asked(provider, models[name]) for provider in DIALECTS},
            )
            for name in cases
        }

    def wallet(self) -> WalletState:
        """The customer's Wallet, as soon as nothing is under way any more."""
        return eventually(
            lambda: self.internal.state(self.customer.id),
            lambda state: state.open_holds == 0 and state.unacknowledged_records == 0,
        )

    def _ask_case(self, model: str, case: Case) -> Answer:
        return self.ask(model, stream=case.stream, headers=case.headers, **case.fields)


def _read(answer: httpx2.Response, content: str, *, seconds: float) -> Answer:
    is_stream = answer.headers["content-type"].startswith("text/event-stream")
    lines = content.split("\n")  # not where Python sees other ends of lines, which a JSON text may hold
    events = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    texts = [event for event in events if event != "[DONE]"] if is_stream else [content]
    documents = [document for text in texts if (document := _parsed(text)) is not None]
    choices = [choice for document in documents for choice in document.get("choices", [])]
    said = [choice.get("message") or choice["delta"] for choice in choices]
    return Answer(
        status=answer.status_code,
        headers=answer.headers,
        text="".join(part.get("content") or "" for part in said),
        finishes=tuple(choice["finish_reason"] for choice in choices if choice.get("finish_reason")),
        events=tuple(events),
        comments=tuple(line for line in lines if is_stream and line.startswith(":")),
        error=next((document["error"] for document in documents if "error" in document), None),
        is_readable=len(documents) == len(texts),
        seconds=seconds,
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def cost_nano_usd(usage: Mapping[str, int]) -> int:
    return usage["prompt_tokens"] * PROMPT_NANO_USD + usage["completion_tokens"] * COMPLETION_NANO_USD
