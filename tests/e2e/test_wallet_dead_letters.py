"""Usage that the queue gives up delivering stays in its Wallet, is shown to the operator, and sent again when told."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from local.settings import ROOT
from tests.e2e.chat import prompt
from tests.e2e.parts import Parts
from tests.e2e.purse import nano_usd
from tests.e2e.waiting import LIMIT_S, eventually

CALLS = 5


def impatient_queues(folder: Path) -> Path:
    """The project's wrangler.toml with queues that try each message once."""
    text = (ROOT / "wrangler.toml").read_text()
    text = text.replace('main = "', f'main = "{ROOT}/')
    text = re.sub(r"^(max_retries|retry_delay|max_batch_timeout) = \d+$", r"\1 = 0", text, flags=re.MULTILINE)
    file = folder / "wrangler.toml"
    file.write_text(text)
    return file


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    async with Parts.running(tmp_path / "data", wrangler=impatient_queues(tmp_path)) as parts:
        yield parts


async def test_given_up_usage_is_listed_and_booked_after_a_replay(parts: Parts) -> None:
    demo, admin, internal = await parts.demo(), parts.admin(), parts.internal()
    await parts.kill_control_plane()
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {demo.api_key}"}, timeout=30) as client:
        url = f"{demo.edge_url}/v1/chat/completions"
        answers = await asyncio.gather(*(client.post(url, json=prompt(max_tokens=50)) for _ in range(CALLS)))
    async with asyncio.timeout(LIMIT_S):
        while await parts.kv_names("dead:") != [f"dead:{demo.account_id}"]:  # noqa: ASYNC110 (another process's)
            await asyncio.sleep(0.1)
    kept = internal.state(demo.account_id).unacknowledged_records
    await parts.start_control_plane()

    assert kept == CALLS
    assert admin.dead_letters() == {demo.account_id: CALLS}
    assert admin.replay_dead_letters() == {demo.account_id: CALLS}
    assert admin.dead_letters() == {}
    records = admin.records_of(demo.account_id, [answer.headers["x-request-id"] for answer in answers])
    wallet = eventually(lambda: internal.state(demo.account_id), lambda state: state.unacknowledged_records == 0)
    spent_nano_usd = nano_usd(admin.account(demo.account_id)["spent_usd"])
    assert wallet.settled_nano_usd == spent_nano_usd == sum(record["cost_nano_usd"] for record in records.values())
    assert len(admin.usage(demo.account_id)) == CALLS
    admin.close()
    internal.close()
