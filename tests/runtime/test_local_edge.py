"""The local edge has each facility of the platform that the Worker needs."""

from pathlib import Path

import httpx2
import pytest

from tests.runtime.edge_process import EdgeProcess, eventually
from tests.runtime.upstream import ControlledUpstream

pytestmark = pytest.mark.runtime

RARE = "7 7 7 7 *"
"""A cron that is not the project's own, which may be due at any moment."""


def test_bindings_are_wrangler_toml_s_vars_and_the_texts_that_were_passed(client: httpx2.Client) -> None:
    answer = client.get("/answer").json()

    assert answer["greeting"] == "from wrangler.toml"
    assert answer["secret"] == "s"


def test_kv_keeps_what_was_put_and_has_nothing_else(client: httpx2.Client) -> None:
    client.put("/kv/colour", content="blue")

    assert client.get("/kv/colour").text == "blue"
    assert client.get("/kv/shape").status_code == 404


def test_a_durable_object_is_one_instance_per_name(client: httpx2.Client) -> None:
    counts = [client.get("/count/one").text for _ in range(3)]

    assert counts == ["1", "2", "3"]
    assert client.get("/count/another").text == "1"


def test_an_alarm_wakes_its_durable_object(client: httpx2.Client) -> None:
    client.get("/wake/sleeper?delay_ms=10")

    eventually(lambda: client.get("/rows/sleeper").json(), becomes=["alarm"])


def test_a_queued_message_reaches_the_consumer(client: httpx2.Client) -> None:
    client.get("/send/job")

    eventually(lambda: client.get("/rows/job").json(), becomes=["jobs"])


def test_a_message_that_cannot_be_consumed_goes_to_the_dead_letter_queue(client: httpx2.Client) -> None:
    client.get("/send/poison?poisoned=yes")

    eventually(lambda: client.get("/rows/poison").json(), becomes=["jobs-dead"])


def test_the_scheduled_handler_runs_when_triggered(edge: EdgeProcess, client: httpx2.Client) -> None:
    triggered = httpx2.get(edge.ready.scheduled_url, params={"cron": RARE})

    assert triggered.status_code == 200
    assert RARE in client.get("/rows/scheduled").json()


def test_work_given_to_wait_until_runs_after_the_answer(client: httpx2.Client) -> None:
    assert client.get("/later/task").text == "now"

    eventually(lambda: client.get("/rows/task").json(), becomes=["later"])


def test_a_worker_reaches_its_second_entrypoint_over_the_loopback_service(client: httpx2.Client) -> None:
    assert client.post("/loopback", content="twelve bytes").text == "read 12 bytes"


def test_each_event_of_a_stream_arrives_before_the_next_is_sent(client: httpx2.Client) -> None:
    events = [f"data: {number}\n\n".encode() for number in range(20)]
    with ControlledUpstream() as upstream:
        upstream.send(events[0])
        with client.stream("GET", "/stream", params={"from": upstream.url}) as answer:
            chunks = answer.iter_raw()
            received = [next(chunks)]
            for event in events[1:]:
                upstream.send(event)
                received.append(next(chunks))
            upstream.finish()
            received.extend(chunks)

    assert received == events


def test_randomness_is_refused_while_the_worker_is_imported_and_real_in_a_request(client: httpx2.Client) -> None:
    drawn = client.get("/randomness").json()

    assert all(value.startswith("refused: ") for value in drawn["at_import"].values())
    first, second = drawn["in_request"]
    assert all(first[source] != second[source] for source in first)


def test_an_edit_reloads_the_worker_and_keeps_its_port_and_state(project: Path, tmp_path: Path) -> None:
    with EdgeProcess(project, tmp_path / "data", bindings={"SECRET": "s"}) as edge:
        assert edge.get("/answer").json()["answer"] == "first"
        edge.get("/count/visits")

        (project / "worker" / "answer.py").write_text('ANSWER = "second"\n')
        again = edge.next_ready()

        assert (again.edge_url, again.cloudflare_url) == (edge.ready.edge_url, edge.ready.cloudflare_url)
        assert edge.get("/answer").json()["answer"] == "second"
        assert edge.get("/count/visits").text == "2"


def test_an_edit_that_cannot_be_imported_is_reported_and_the_next_edit_heals_it(project: Path, tmp_path: Path) -> None:
    with EdgeProcess(project, tmp_path / "data", bindings={"SECRET": "s"}) as edge:
        (project / "worker" / "answer.py").write_text("ANSWER =\n")
        eventually(lambda: "reload failed" in edge.log(), becomes=True)
        (project / "worker" / "answer.py").write_text('ANSWER = "healed"\n')
        edge.next_ready()

        assert edge.get("/answer").json()["answer"] == "healed"


def test_state_and_pending_alarms_survive_a_restart(project: Path, tmp_path: Path) -> None:
    with EdgeProcess(project, tmp_path / "data", bindings={"ALARMS": "refused"}) as first:
        first.get("/count/visits")
        httpx2.put(f"{first.ready.edge_url}/kv/colour", content="blue")
        first.get("/wake/sleeper?delay_ms=10")

    with EdgeProcess(project, tmp_path / "data", bindings={"ALARMS": "taken"}) as second:
        assert second.get("/count/visits").text == "2"
        assert second.get("/kv/colour").text == "blue"
        eventually(lambda: second.get("/rows/sleeper").json(), becomes=["alarm"])


def test_sigterm_ends_the_edge_with_status_0(project: Path, tmp_path: Path) -> None:
    edge = EdgeProcess(project, tmp_path / "data")

    assert edge.stop() == 0
