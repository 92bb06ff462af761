"""Faults of a body are seen in the script, faults of a connection on the socket."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.labs.wire import Head, Pause
from tests.contract.labs.calls import MODELS, ask, call, chunks, lines, response, steps, user
from tests.contract.labs.conftest import RunningLabs

PATIENCE_S = 10


@pytest.mark.parametrize("lab", MODELS)
def test_a_stream_without_done_ends_after_its_finish(lab: str) -> None:
    assert len(lines(lab, "hello [[lab fault=no-done tokens=5]]")) == len(chunks(lab, "hello [[lab tokens=5]]"))
    assert lines(lab, "hello [[lab fault=no-done]]")[-1] != "[DONE]"


@pytest.mark.parametrize("lab", MODELS)
def test_a_stream_without_finish_has_neither_reason_nor_usage_nor_done(lab: str) -> None:
    for line in lines(lab, "hello [[lab fault=no-finish]]"):
        chunk = json.loads(line)
        assert not chunk.get("usage")
        assert chunk["choices"][0].get("finish_reason") is None


@pytest.mark.parametrize("at", [1, 3])
def test_one_event_is_broken_and_the_others_are_not(at: int) -> None:
    *events, _ = lines("dashscope", f"hello [[lab fault=malformed at={at}]]")

    with pytest.raises(json.JSONDecodeError):
        json.loads(events.pop(at - 1))
    assert all(json.loads(event) for event in events)


def test_a_json_body_can_be_broken() -> None:
    head, body = response(call("dashscope", "hello [[lab fault=malformed]]"), "dashscope")

    assert head.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_an_error_inside_a_200_has_the_form_of_the_lab() -> None:
    bodies = {lab: ask(lab, "hello [[lab fault=error-200]]", stream=True) for lab in MODELS}

    assert {status for status, _ in bodies.values()} == {200}
    assert bodies["deepseek"][1]["error"]["type"] == "service_unavailable_error"
    assert bodies["moonshot"][1]["error"]["type"] == "engine_overloaded_error"
    assert bodies["dashscope"][1]["error"]["code"] == "ServiceUnavailable"
    assert bodies["zai"][1].keys() == {"code", "msg", "success"}
    assert bodies["spark"][1] == {
        "code": 11200,
        "message": "AppIdNoAuthError",
        "sid": "cha01234567@dx89abcdef0123456789",
    }


def test_the_error_inside_a_200_can_be_chosen() -> None:
    text = "hello [[lab fault=error-200 error=auth]]"

    assert ask("zai", text) == (200, {"code": 401, "msg": "token expired or incorrect", "success": False})


@pytest.mark.parametrize("at", [1, 4])
def test_an_error_event_ends_a_stream_in_the_form_of_the_lab(at: int) -> None:
    text = f"hello [[lab fault=error-event at={at}]]"
    errors = {lab: lines(lab, text)[at - 1 :] for lab in MODELS}

    assert [json.loads(event)["error"]["type"] for event in errors["deepseek"]] == ["service_unavailable_error"]
    assert [json.loads(event)["error"]["type"] for event in errors["moonshot"]] == ["engine_overloaded_error"]
    assert [json.loads(event)["code"] for event in errors["spark"]] == [11202]
    finish, done = errors["zai"]
    assert json.loads(finish)["choices"][0]["finish_reason"] == "network_error"
    assert done == "[DONE]"
    (frame,) = errors["dashscope"]
    *fields, data = frame.split("\n")
    assert fields == ["id:1", "event:error", ":HTTP_STATUS/503"]
    assert json.loads(data.removeprefix("data:")).keys() == {"code", "message", "request_id"}


@pytest.mark.parametrize("lab", MODELS)
def test_an_empty_answer_costs_no_completion(lab: str) -> None:
    text = "hello [[lab fault=empty]]"
    _, body = ask(lab, text)

    assert body["usage"]["completion_tokens"] == 0
    assert not body["choices"][0]["message"]["content"]
    assert not any(choice["delta"].get("content") for chunk in chunks(lab, text) for choice in chunk["choices"])


@pytest.mark.parametrize("stream", [True, False])
def test_a_200_may_have_no_body_at_all(stream: bool) -> None:
    head, body = response(call("deepseek", "hello [[lab fault=empty-stream]]", stream=stream), "deepseek")

    assert (head.status, body) == (200, b"")


def test_a_proxy_may_answer_for_the_lab() -> None:
    head, body = response(call("deepseek", "hello [[lab fault=html-502]]", stream=True), "deepseek")

    assert (head.status, head.headers["content-type"]) == (502, "text/html")
    assert body.startswith(b"<html>")


def test_a_content_type_may_be_wrong_over_a_sound_body() -> None:
    head, body = response(call("deepseek", "hello [[lab fault=wrong-content-type]]", stream=True), "deepseek")

    assert head.headers["content-type"].startswith("text/plain")
    assert body.endswith(b"[DONE]\n\n")


def test_slow_headers_come_after_the_first_delay_or_ten_seconds() -> None:
    first, head, *rest = steps(call("zai", "hello [[lab fault=slow-headers first_delay_ms=70]]", stream=True), "zai")

    assert first == Pause(0.07)
    assert isinstance(head, Head)
    assert Pause(0.07) not in rest
    assert steps(call("zai", "hello [[lab fault=slow-headers]]", stream=True), "zai")[0] == Pause(10)


@contextmanager
def connected(labs: RunningLabs, lab: str, text: str, **parameters: Any) -> Iterator[socket.socket]:
    """A socket on which the request was sent."""
    body = json.dumps({"model": MODELS[lab], "messages": [user(text)], **parameters}).encode()
    path = labs.base_url(lab).removeprefix(labs.origin) + "/chat/completions"
    head = f"POST {path} HTTP/1.1\r\nhost: labs\r\nauthorization: Bearer sk-good\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", labs.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + body)
        yield connection


def received(connection: socket.socket, *, until: bytes | None = None) -> bytes:
    """What comes until the connection ends, or until these bytes were seen."""
    data = b""
    while until is None or until not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data


def ended(labs: RunningLabs, entry_id: str) -> dict[str, Any]:
    """The journal's entry once it is closed."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        (entry,) = labs.journal(entry_id)
        if entry["ended"] != "open":
            return entry
    raise AssertionError(f"{entry_id} did not end")


def test_a_reset_comes_without_a_byte(labs: RunningLabs) -> None:
    text = "hello [[lab fault=reset id=reset-1]]"
    with connected(labs, "deepseek", text) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)

    assert ended(labs, "reset-1")["ended"] == "reset"


@pytest.mark.parametrize("lab", MODELS)
def test_a_stream_is_cut_after_exactly_as_many_events_as_asked(labs: RunningLabs, lab: str) -> None:
    entry_id = f"cut-{lab}"
    with connected(labs, lab, f"hello [[lab fault=reset-mid at=4 id={entry_id}]]", stream=True) as connection:
        data = received(connection)

    assert data.count(b"data:") == 4
    assert not data.endswith(b"0\r\n\r\n")
    assert (ended(labs, entry_id)["ended"], ended(labs, entry_id)["events"]) == ("cut", 4)


def test_a_json_body_is_cut_in_its_middle(labs: RunningLabs) -> None:
    with connected(labs, "zai", "hello [[lab fault=reset-mid]]") as connection:
        head, _, body = received(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200")
    assert b'{"choices"' in body
    assert b'"usage"' not in body


def test_a_hanging_request_gets_nothing_until_the_client_leaves(labs: RunningLabs) -> None:
    with connected(labs, "spark", "hello [[lab fault=hang id=hang-1]]", stream=True):
        deadline = time.monotonic() + PATIENCE_S
        while not labs.journal("hang-1") and time.monotonic() < deadline:
            pass
        (entry,) = labs.journal("hang-1")
        assert entry["ended"] == "open"

    entry = ended(labs, "hang-1")
    assert (entry["ended"], entry["status"], entry["events"]) == ("client left", 0, 0)


def test_a_stalled_stream_is_silent_after_its_events_until_the_client_leaves(labs: RunningLabs) -> None:
    text = "hello [[lab fault=stall at=2 id=stall-1 tokens=9]]"
    with connected(labs, "dashscope", text, stream=True) as connection:
        data = received(connection, until=b'"finish_reason":null,"logprobs":null')
        assert data.count(b"data: ") == 2

    entry = ended(labs, "stall-1")
    assert (entry["ended"], entry["events"]) == ("client left", 2)


def test_a_client_that_leaves_is_noticed_within_a_stream(labs: RunningLabs) -> None:
    text = "hello [[lab id=left-1 tokens=100000 delay_ms=1]]"
    with connected(labs, "dashscope", text, stream=True) as connection:
        received(connection, until=b"data: ")

    entry = ended(labs, "left-1")
    assert entry["ended"] == "client left"
    assert 1 <= entry["events"] < 100_000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_in_pieces_of_any_size_is_the_same_stream(labs: RunningLabs, size: int) -> None:
    text = "hello [[lab unicode tokens=5 {}]]"

    whole = labs.post("spark", text.format("words=1"), stream=True).text
    cut = labs.post("spark", text.format(f"cut_bytes={size}"), stream=True)

    assert cut.text.count("data:") == whole.count("data:")
    assert cut.text.endswith("data:[DONE]\n\n")


def test_each_event_is_a_chunk_of_its_own(labs: RunningLabs) -> None:
    with connected(labs, "deepseek", "hello [[lab tokens=30]]", stream=True) as connection:
        _, _, body = received(connection, until=b"0\r\n\r\n").partition(b"\r\n\r\n")

    assert body.count(b"\n\n\r\n") == body.count(b"data: ") == 30 + 6 + 3


def test_a_fault_strikes_as_often_as_asked_and_at_each_lab_for_itself(labs: RunningLabs) -> None:
    text = "hello [[lab fault=overloaded times=2 id=times-1]]"

    deepseek = [labs.post("deepseek", text).status_code for _ in range(4)]
    moonshot = [labs.post("moonshot", text).status_code for _ in range(3)]

    assert deepseek == [503, 503, 200, 200]
    assert moonshot == [429, 429, 200]


def test_many_streams_at_once_are_each_whole(labs: RunningLabs) -> None:
    connections = []
    for _ in range(30):
        context = connected(labs, "deepseek", "hello [[lab tokens=100 reasoning=0]]", stream=True)
        connections.append((context, context.__enter__()))

    bodies = [received(connection, until=b"0\r\n\r\n") for _, connection in connections]
    for context, _ in connections:
        context.__exit__(None, None, None)

    assert {body.count(b"data: ") for body in bodies} == {103}
