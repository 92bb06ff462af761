"""The client of the edge's internal routes: signed, idempotent, and never satisfied with half an answer."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest
from pydantic import SecretStr

from control_plane.edge import EdgeClient, EdgeConflict, EdgeRefused, EdgeUnavailable
from gateway.money import NanoUsd
from gateway.records import Grant
from tests.contract.control_plane.stand_ins import INTERNAL_SECRET, FakeEdge

ACCOUNT = "acct_alice"
GRANT = Grant(id="g1", kind="credit", amount_nano_usd=NanoUsd(5))

Call = Callable[[EdgeClient], Awaitable[object]]
CALLS: list[Call] = [
    lambda edge: edge.apply_grants(ACCOUNT, [GRANT]),
    lambda edge: edge.revoke_keys(ACCOUNT, ["key_1"]),
    lambda edge: edge.wallet_state(ACCOUNT),
    lambda edge: edge.replay(ACCOUNT),
]


@pytest.fixture
def wallets() -> FakeEdge:
    return FakeEdge()


@pytest.fixture
async def edge(wallets: FakeEdge) -> AsyncIterator[EdgeClient]:
    edge = client_of(wallets, INTERNAL_SECRET)
    yield edge
    await edge.close()


def client_of(wallets: FakeEdge, secret: str) -> EdgeClient:
    return EdgeClient(
        edge_url="http://edge.test/",
        internal_secret=SecretStr(secret),
        now_ms=wallets.clock,
        transport=wallets.transport,
    )


async def test_grants_and_revocations_reach_the_wallet(edge: EdgeClient, wallets: FakeEdge) -> None:
    await edge.apply_grants(ACCOUNT, [GRANT])
    await edge.apply_grants(ACCOUNT, [GRANT])
    await edge.revoke_keys(ACCOUNT, ["key_1"])

    assert (await edge.wallet_state(ACCOUNT)).granted_nano_usd == 5
    assert wallets.revoked[ACCOUNT] == ["key_1"]


async def test_a_replay_says_how_many_records_are_sent_again(edge: EdgeClient, wallets: FakeEdge) -> None:
    wallets.unacknowledged[ACCOUNT] = 3

    assert await edge.replay(ACCOUNT) == 3
    assert wallets.replays == [ACCOUNT]


async def test_a_grant_with_other_content_is_a_conflict(edge: EdgeClient) -> None:
    await edge.apply_grants(ACCOUNT, [GRANT])

    with pytest.raises(EdgeConflict):
        await edge.apply_grants(ACCOUNT, [Grant(id="g1", kind="credit", amount_nano_usd=NanoUsd(6))])


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_with_another_secret_is_refused(wallets: FakeEdge, call: Call) -> None:
    edge = client_of(wallets, "another-secret-of-tests")

    with pytest.raises(EdgeRefused) as refused:
        await call(edge)
    await edge.close()

    assert refused.value.status == 401
    assert "another-secret" not in repr(refused.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "failure",
    [
        httpx2.Response(500),
        httpx2.Response(429),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"applied": ["other"], "revoked": []}),
        httpx2.Response(200, json={"applied": "g1", "revoked": "key_1"}),
        httpx2.ConnectError("no route"),
        httpx2.ReadTimeout("slow"),
    ],
)
async def test_anything_that_is_no_answer_is_unavailability(
    edge: EdgeClient, wallets: FakeEdge, call: Call, failure: httpx2.Response | Exception
) -> None:
    wallets.failures[ACCOUNT].append(failure)

    with pytest.raises(EdgeUnavailable):
        await call(edge)


@pytest.mark.parametrize("status", [204, 302, 400, 404])
async def test_any_other_status_is_a_refusal(edge: EdgeClient, wallets: FakeEdge, status: int) -> None:
    wallets.failures[ACCOUNT].append(httpx2.Response(status))

    with pytest.raises(EdgeRefused) as refused:
        await edge.apply_grants(ACCOUNT, [GRANT])

    assert refused.value.status == status


async def test_an_account_id_stays_one_segment_of_the_path(edge: EdgeClient, wallets: FakeEdge) -> None:
    paths: list[bytes] = []

    async def note(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(404)

    edge = EdgeClient(
        edge_url="http://edge.test",
        internal_secret=SecretStr(INTERNAL_SECRET),
        transport=httpx2.MockTransport(note),
    )
    with pytest.raises(EdgeRefused):
        await edge.wallet_state("a/../b")
    await edge.close()

    assert paths == [b"/internal/wallets/a%2F..%2Fb/state"]
