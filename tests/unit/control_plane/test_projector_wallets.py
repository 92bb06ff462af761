"""The projector and the Wallets, step by step: what each is told, in which order, and how often."""

import httpx2
import pytest

from control_plane.projector import (
    WALLET_BATCH_ROWS,
)
from tests.unit.control_plane.bench import ALICE, FIRST_BACKOFF_MS, Bench, grant


async def test_one_accounts_grants_and_revocations_arrive_in_order_and_in_batches(bench: Bench) -> None:
    await bench.enqueue_grant(ALICE, "g1")
    await bench.enqueue_grant(ALICE, "g2")
    await bench.enqueue_revocation(ALICE, "key_1")
    await bench.enqueue_grant(ALICE, "g3")

    await bench.projector.deliver_wallet(ALICE)

    assert bench.edge.calls == [
        (ALICE, "grants", ["g1", "g2"]),
        (ALICE, "revocations", ["key_1"]),
        (ALICE, "grants", ["g3"]),
    ]
    assert await bench.states() == ["delivered"] * 4


async def test_a_batch_for_a_wallet_has_a_greatest_size_and_the_rest_follows(bench: Bench) -> None:
    for number in range(WALLET_BATCH_ROWS + 1):
        await bench.enqueue_grant(ALICE, f"g{number}")

    await bench.projector.deliver_wallet(ALICE)

    assert [len(ids) for _, _, ids in bench.edge.calls] == [WALLET_BATCH_ROWS, 1]


@pytest.mark.parametrize(
    "failure",
    [httpx2.Response(503), httpx2.Response(401), httpx2.ConnectError("no route"), httpx2.Response(200, text="hello")],
    ids=["5xx", "signature refused", "unreachable", "not an answer"],
)
async def test_what_follows_a_failed_delivery_waits_behind_it(
    bench: Bench, failure: httpx2.Response | Exception
) -> None:
    bench.edge.failures[ALICE].append(failure)
    await bench.enqueue_grant(ALICE, "g1")
    await bench.enqueue_revocation(ALICE, "key_1")

    await bench.projector.deliver_wallet(ALICE)
    await bench.projector.deliver_wallet(ALICE)
    waiting = await bench.rows()
    bench.clock.now_ms += FIRST_BACKOFF_MS
    await bench.projector.deliver_wallet(ALICE)

    assert [(row.state, row.attempts) for row in waiting] == [("pending", 1), ("pending", 0)]
    assert waiting[0].last_error
    assert bench.edge.calls == [(ALICE, "grants", ["g1"]), (ALICE, "revocations", ["key_1"])]


async def test_a_delivery_whose_answer_was_lost_is_repeated_and_counts_once(bench: Bench) -> None:
    await bench.enqueue_grant(ALICE, "g1", amount=5)
    await bench.wallets.apply_grants(ALICE, [grant("g1", 5)])

    await bench.projector.deliver_wallet(ALICE)

    assert bench.edge.state(ALICE).granted_nano_usd == 5
    assert await bench.states() == ["delivered"]


async def test_a_grant_that_the_wallet_will_never_take_is_refused_and_the_others_arrive(bench: Bench) -> None:
    await bench.wallets.apply_grants(ALICE, [grant("g2", 99)])
    for number in (1, 2, 3):
        await bench.enqueue_grant(ALICE, f"g{number}", amount=1)

    await bench.projector.deliver_wallet(ALICE)

    rows = await bench.rows()
    assert [row.state for row in rows] == ["delivered", "refused", "delivered"]
    assert rows[1].last_error == "the edge refused with status 409"
    assert bench.edge.state(ALICE).granted_nano_usd == 1 + 99 + 1
