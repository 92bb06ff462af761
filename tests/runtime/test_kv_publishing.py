"""The control plane's own projector and KV client against the local KV: as much at once as Cloudflare takes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from control_plane import cloudflare, outbox
from control_plane.cloudflare import BULK_WRITE_MAX_PAIRS, CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.metrics import Metrics
from control_plane.projector import Projector
from control_plane.store import Store
from tests.runtime.edge_process import ACCOUNT_ID, API_TOKEN, EdgeProcess
from tests.runtime.test_kv_rest import NAMESPACE_ID

pytestmark = pytest.mark.runtime

PATIENCE = httpx2.Timeout(600)
"""The local KV keeps one value after the other, in 2 to 6 ms each, where Cloudflare takes all of them at once."""


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_ten_thousand_key_changes_are_published_in_one_call(
    edge: EdgeProcess, opened: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudflare, "BULK_TIMEOUT", PATIENCE)
    store = Store.open(f"sqlite:///{tmp_path}/outbox.sqlite3")
    opened.push_async_callback(store.close)
    await store.migrate()
    kv = CloudflareKV(
        base_url=edge.ready.cloudflare_url,
        account_id=ACCOUNT_ID,
        namespace_id=NAMESPACE_ID,
        api_token=SecretStr(API_TOKEN),
    )
    opened.push_async_callback(kv.close)
    wallets = EdgeClient(edge_url=edge.ready.edge_url, internal_secret=SecretStr("nobody is called"))
    opened.push_async_callback(wallets.close)
    metrics = Metrics()
    projector = Projector(store=store, kv=kv, wallets=wallets, metrics=metrics)
    names = [f"published:{number}" for number in range(BULK_WRITE_MAX_PAIRS)]
    rows = [{"target": "kv", "kind": "record", "subject": name, "version": 1, "payload": name * 20} for name in names]
    async with store.begin() as connection:
        await connection.execute(insert(outbox.outbox), rows)

    await projector.deliver_kv()

    async with store.read() as connection:
        assert await outbox.undelivered(connection, names) == []
    assert [name async for name in kv.list_keys("published:")] == sorted(names)
    assert await kv.bulk_get(names[-1:]) == {names[-1]: names[-1] * 20}
    assert b'haotokai_deliveries_total{outcome="delivered",target="kv"} 1.0' in metrics.text().splitlines()
