"""The projector and KV, step by step: what is written, when, and how often."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from control_plane.projector import KV_BATCH_BYTES, KV_BATCH_NAMES
from gateway import records
from tests.contract.control_plane.stand_ins import (
    Clock,
    refusal,
)
from tests.unit.control_plane.bench import (
    FIRST_BACKOFF_MS,
    Bench,
    open_bench,
    record,
)


async def test_changes_of_many_names_leave_in_one_bulk_call(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        await bench.enqueue_key(name, 1)

    await bench.projector.deliver_kv()

    assert [sorted(call) for call in bench.cloudflare.writes] == [["key:a", "key:b", "key:c"]]
    assert await bench.states() == ["delivered"] * 3


async def test_a_bulk_call_has_a_greatest_number_of_names_and_the_rest_follows(bench: Bench) -> None:
    await bench.enqueue_keys(KV_BATCH_NAMES + 1)

    again_at_ms = await bench.projector.deliver_kv()
    await bench.projector.deliver_kv()

    assert again_at_ms <= bench.clock.now_ms
    assert [len(call) for call in bench.cloudflare.writes] == [KV_BATCH_NAMES, 1]


async def test_a_bulk_call_has_a_greatest_size_and_the_rest_follows(bench: Bench) -> None:
    half = "x" * (KV_BATCH_BYTES // 2)
    await bench.enqueue_keys(3, payload=half)

    await bench.projector.deliver_kv()
    await bench.projector.deliver_kv()

    assert [len(call) for call in bench.cloudflare.writes] == [2, 1]


async def test_a_call_of_the_greatest_number_of_names_that_failed_is_made_again(bench: Bench) -> None:
    bench.cloudflare.failures.append(httpx2.ReadTimeout("slow"))
    await bench.enqueue_keys(KV_BATCH_NAMES, versions=4)

    bench.clock.now_ms = await bench.projector.deliver_kv()
    await bench.projector.deliver_kv()

    assert [len(call) for call in bench.cloudflare.writes] == [KV_BATCH_NAMES]
    assert {row.state for row in await bench.rows()} == {"delivered"}


async def test_of_one_name_only_the_newest_version_is_written_and_all_are_done(bench: Bench) -> None:
    for version in (1, 3, 2):
        await bench.enqueue_key("a", version)

    await bench.projector.deliver_kv()

    assert bench.cloudflare.writes == [{"key:a": records.encode(record(3))}]
    assert await bench.states() == ["delivered"] * 3


async def test_a_version_that_was_overtaken_is_never_written(bench: Bench) -> None:
    await bench.enqueue_key("a", 2)
    await bench.projector.deliver_kv()
    await bench.enqueue_key("a", 1)

    await bench.projector.deliver_kv()

    assert bench.cloudflare.values["key:a"] == records.encode(record(2))
    assert len(bench.cloudflare.writes) == 1
    assert await bench.states() == ["delivered", "delivered"]


async def test_the_same_version_is_written_again_when_it_is_enqueued_again(bench: Bench) -> None:
    for _ in range(2):
        await bench.enqueue_key("a", 1)
        await bench.projector.deliver_kv()

    assert len(bench.cloudflare.writes) == 2


async def test_a_version_that_comes_during_a_write_is_written_after_it(bench: Bench) -> None:
    bench.cloudflare.before_write = asyncio.Event()
    await bench.enqueue_key("a", 1)
    writing = asyncio.create_task(bench.projector.deliver_kv())
    await bench.cloudflare.write_begun.wait()

    await bench.enqueue_key("a", 2)
    bench.cloudflare.before_write.set()
    await writing
    between = await bench.states()
    await bench.projector.deliver_kv()

    assert between == ["delivered", "pending"]
    assert bench.cloudflare.values["key:a"] == records.encode(record(2))
    assert await bench.states() == ["delivered", "delivered"]


async def test_a_name_that_failed_inside_a_200_is_tried_again_later_and_holds_up_no_other(bench: Bench) -> None:
    bench.cloudflare.unwritable.add("key:a")
    await bench.enqueue_key("a", 1)
    await bench.enqueue_key("b", 1)

    again_at_ms = await bench.projector.deliver_kv()
    first = await bench.rows()
    bench.clock.now_ms = again_at_ms - 1
    await bench.projector.deliver_kv()
    too_early = len(bench.cloudflare.writes)
    bench.cloudflare.unwritable.clear()
    bench.clock.now_ms = again_at_ms
    await bench.projector.deliver_kv()

    assert [(row.state, row.attempts) for row in first] == [("pending", 1), ("delivered", 0)]
    assert first[0].last_error == "Cloudflare did not write this name"
    assert too_early == 1
    assert list(bench.cloudflare.writes[1]) == ["key:a"]
    assert await bench.states() == ["delivered", "delivered"]


async def test_a_newer_version_does_not_wait_for_the_retry_of_an_older_one(bench: Bench) -> None:
    bench.cloudflare.unwritable.add("key:a")
    await bench.enqueue_key("a", 1)
    await bench.projector.deliver_kv()
    bench.cloudflare.unwritable.clear()
    await bench.enqueue_key("a", 2)

    await bench.projector.deliver_kv()

    assert bench.cloudflare.values["key:a"] == records.encode(record(2))
    assert await bench.states() == ["delivered", "delivered"]


@pytest.mark.parametrize(
    "failure",
    [httpx2.Response(500), httpx2.ConnectError("no route"), httpx2.ReadTimeout("slow"), refusal(403, 10000)],
    ids=["5xx", "unreachable", "timeout", "refused"],
)
async def test_a_failed_call_is_repeated_after_a_pause_whatever_was_wrong(
    bench: Bench, failure: httpx2.Response | Exception
) -> None:
    bench.cloudflare.failures.append(failure)
    await bench.enqueue_key("a", 1)

    again_at_ms = await bench.projector.deliver_kv()
    failed = (await bench.rows())[0]
    bench.clock.now_ms = again_at_ms
    await bench.projector.deliver_kv()

    assert again_at_ms == failed.next_attempt_at_ms
    assert (failed.state, failed.attempts) == ("pending", 1)
    assert failed.last_error
    assert await bench.states() == ["delivered"]


async def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_success(bench: Bench) -> None:
    bench.cloudflare.failures += [httpx2.Response(500)] * 6
    await bench.enqueue_key("a", 1)

    pauses = []
    for _ in range(6):
        again_at_ms = await bench.projector.deliver_kv()
        pauses.append(again_at_ms - bench.clock.now_ms)
        bench.clock.now_ms = again_at_ms
    await bench.projector.deliver_kv()
    bench.cloudflare.failures.append(httpx2.Response(500))
    await bench.enqueue_key("a", 2)
    last = await bench.projector.deliver_kv() - bench.clock.now_ms

    assert pauses == [100, 200, 400, 800, 1000, 1000]
    assert last == FIRST_BACKOFF_MS


async def test_too_many_calls_close_kv_for_as_long_as_cloudflare_says(bench: Bench) -> None:
    bench.cloudflare.failures.append(httpx2.Response(429, headers={"retry-after": "300"}))
    await bench.enqueue_key("a", 1)
    again_at_ms = await bench.projector.deliver_kv()

    # New changes do not open it again.
    await bench.enqueue_key("b", 1)
    bench.clock.now_ms += 299_999
    closed = await bench.projector.deliver_kv()
    calls_while_closed = len(bench.cloudflare.writes)
    bench.clock.now_ms += 1
    await bench.projector.deliver_kv()

    assert closed == again_at_ms == bench.clock.now_ms
    assert calls_while_closed == 0
    assert sorted(bench.cloudflare.values) == ["key:a", "key:b"]


async def test_bulk_calls_are_a_second_apart_and_the_first_goes_at_once(tmp_path: Path) -> None:
    async with open_bench(tmp_path / "outbox.sqlite3", kv_interval_ms=1_000) as bench:
        await bench.enqueue_key("a", 1)
        await bench.projector.deliver_kv()
        at_once = len(bench.cloudflare.writes)

        await bench.enqueue_key("b", 1)
        bench.clock.now_ms += 999
        again_at_ms = await bench.projector.deliver_kv()
        too_early = len(bench.cloudflare.writes)
        bench.clock.now_ms = again_at_ms
        await bench.projector.deliver_kv()

        assert (at_once, too_early) == (1, 1)
        assert again_at_ms == Clock().now_ms + 1_000
        assert len(bench.cloudflare.writes) == 2
