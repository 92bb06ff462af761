"""The control plane's own projector and KV client against the local KV: as much at once as Cloudflare takes."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from control_plane import outbox
from control_plane.cloudflare import BULK_WRITE_MAX_PAIRS, CloudflareKV
from control_plane.edge import EdgeClient
from control_plane.metrics import Metrics
from control_plane.projector import Projector
from control_plane.store import Store
from tests.runtime.edge_process import ACCOUNT_ID, API_TOKEN, EdgeProcess
from tests.runtime.test_kv_rest import NAMESPACE_ID

pytestmark = pytest.mark.runtime


async def test_ten_thousand_key_changes_are_published_in_one_call(edge: EdgeProcess, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/outbox.sqlite3")
    await store.migrate()
    kv = CloudflareKV(
        base_url=edge.ready.cloudflare_url,
        account_id=ACCOUNT_ID,
        namespace_id=NAMESPACE_ID,
        api_token=SecretStr(API_TOKEN),
    )
    wallets = EdgeClient(edge_url=edge.ready.edge_url, internal_secret=SecretStr("nobody is called"))
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
    for opened in (kv, wallets, store):
        await opened.close()
