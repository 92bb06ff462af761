"""The projector at work: waiting for deliveries, many Wallets at once, failures, restarts, and forgetting."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from control_plane.metrics import Metrics
from control_plane.projector import (
    FINISHED_KEPT_FOR_MS,
    WALLETS_IN_FLIGHT,
    Backoff,
    Projector,
)
from tests.unit.control_plane.bench import (
    ALICE,
    BOB,
    WAIT_S,
    Bench,
    BrokenOnce,
    grant,
    open_bench,
)


async def test_waiting_ends_when_the_rows_are_delivered(bench: Bench) -> None:
    rows = [await bench.enqueue_key("a", 1), await bench.enqueue_grant(ALICE, "g1")]

    async with bench.projecting():
        assert await bench.projector.delivered(rows, timeout_s=WAIT_S)

    assert "key:a" in bench.cloudflare.values
    assert "g1" in bench.edge.grants[ALICE]


async def test_waiting_for_a_refused_row_ends_with_no(bench: Bench) -> None:
    await bench.wallets.apply_grants(ALICE, [grant("g1", 99)])
    row = await bench.enqueue_grant(ALICE, "g1", amount=1)

    async with bench.projecting():
        assert not await bench.projector.delivered([row], timeout_s=WAIT_S)


async def test_waiting_is_bounded(bench: Bench) -> None:
    row = await bench.enqueue_key("a", 1)

    assert not await bench.projector.delivered([row], timeout_s=0)


async def test_a_wallet_that_hangs_or_fails_holds_up_no_other(bench: Bench) -> None:
    bench.edge.held["acct_hanging"] = asyncio.Event()
    bench.edge.down.add("acct_down")
    hanging = await bench.enqueue_grant("acct_hanging", "g1")
    await bench.enqueue_grant("acct_down", "g2")
    bobs = await bench.enqueue_grant(BOB, "g3")

    async with bench.projecting():
        assert await bench.projector.delivered([bobs], timeout_s=WAIT_S)
        assert not bench.edge.grants["acct_hanging"]
        bench.edge.held["acct_hanging"].set()
        assert await bench.projector.delivered([hanging], timeout_s=WAIT_S)

    assert await bench.states() == ["delivered", "pending", "delivered"]


async def test_so_many_wallets_are_called_at_once_and_all_get_their_turn(bench: Bench) -> None:
    rows = [await bench.enqueue_grant(f"acct_{number}", f"g{number}") for number in range(WALLETS_IN_FLIGHT + 1)]

    async with bench.projecting():
        assert await bench.projector.delivered(rows, timeout_s=WAIT_S)


async def test_delivery_goes_on_after_a_failure_that_nobody_expected(bench: Bench) -> None:
    kv = BrokenOnce()
    projector = Projector(store=bench.store, kv=kv, wallets=bench.wallets, metrics=Metrics(), now_ms=bench.clock)
    row = await bench.enqueue_key("a", 1)

    task = asyncio.create_task(projector.run())
    await kv.broke.wait()
    delivered = await projector.delivered([row], timeout_s=WAIT_S)
    projector.stop()
    await task

    assert delivered
    assert kv.written == ["key:a"]


async def test_a_restart_in_the_middle_of_a_write_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite3"
    async with open_bench(file) as killed:
        killed.cloudflare.before_write = asyncio.Event()
        killed.edge.held[ALICE] = asyncio.Event()
        await killed.enqueue_key("a", 1)
        await killed.enqueue_grant(ALICE, "g1")
        task = asyncio.create_task(killed.projector.run())
        await killed.cloudflare.write_begun.wait()
        task.cancel()
        await asyncio.wait([task])

    async with open_bench(file) as restarted:
        rows = [row.seq for row in await restarted.rows() if row.state == "pending"]
        async with restarted.projecting():
            assert await restarted.projector.delivered(rows, timeout_s=WAIT_S)

        assert len(rows) == 2
        assert "key:a" in restarted.cloudflare.values
        assert "g1" in restarted.edge.grants[ALICE]


async def test_finished_rows_are_kept_for_a_week_and_pending_ones_for_ever(bench: Bench) -> None:
    await bench.enqueue_key("a", 1)
    await bench.projector.deliver_kv()
    await bench.enqueue_key("b", 1)

    bench.clock.now_ms += FINISHED_KEPT_FOR_MS
    await bench.projector.prune()
    kept = await bench.states()
    bench.clock.now_ms += 1
    await bench.projector.prune()

    assert kept == ["delivered", "pending"]
    assert await bench.states() == ["pending"]


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_at_least_half_of_what_it_may_be_and_never_beyond_the_limit(attempts: int, jitter: float) -> None:
    pause_ms = Backoff(first_ms=250, most_ms=60_000, jitter=lambda: jitter).delay_ms(attempts)

    most_ms = min(60_000, 250 * 2 ** (attempts - 1))
    assert most_ms // 2 <= pause_ms <= most_ms
