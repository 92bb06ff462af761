"""Dead letters: accounts whose usage the queue has given up delivering.

Nothing is lost by it. A Wallet keeps each record until it is acknowledged, and can be told to send all of them again;
the edge leaves a name in KV for every such account, which stands there until that was done.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from control_plane.cloudflare import BULK_DELETE_MAX_KEYS
from control_plane.drift import WALLETS_IN_FLIGHT, WalletReader, wallet_states
from control_plane.edge import EdgeError
from gateway.records import DEAD_LETTERS_KV_PREFIX, WalletState, dead_letters_kv_name


class Names(Protocol):
    """The KV namespace; raises CloudflareError."""

    def list_keys(self, prefix: str = ..., /) -> AsyncIterator[str]: ...

    async def bulk_delete(self, keys: Sequence[str], /) -> frozenset[str]: ...


class Replayer(Protocol):
    """Has a Wallet send its records again; raises EdgeError."""

    async def replay(self, account_id: str, /) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """One account, and how many records its Wallet still keeps; None where the Wallet did not answer.

    None are left where the Wallet has sent them again by itself, and they have arrived.
    """

    account_id: str
    unacknowledged_records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One account, and how many records its Wallet sends again; None where the Wallet did not answer."""

    account_id: str
    records: int | None


async def find(names: Names, wallets: WalletReader) -> list[DeadLetters]:
    """The accounts that have any, as far as KV shows them by now."""
    account_ids = await find_accounts(names)
    states = await wallet_states(wallets, account_ids)
    return [
        DeadLetters(
            account_id=account_id,
            unacknowledged_records=state.unacknowledged_records if isinstance(state, WalletState) else None,
        )
        for account_id, state in zip(account_ids, states, strict=True)
    ]


async def find_accounts(names: Names) -> list[str]:
    """The ids of the accounts that have any."""
    return sorted([name.removeprefix(DEAD_LETTERS_KV_PREFIX) async for name in names.list_keys(DEAD_LETTERS_KV_PREFIX)])


async def replay(names: Names, wallets: Replayer, account_ids: Sequence[str]) -> list[Replay]:
    """Have these Wallets send all that is not acknowledged again. The names of those that do are deleted from KV."""
    slots = asyncio.Semaphore(WALLETS_IN_FLIGHT)

    async def ask(account_id: str) -> Replay:
        async with slots:
            try:
                return Replay(account_id=account_id, records=await wallets.replay(account_id))
            except EdgeError:
                return Replay(account_id=account_id, records=None)

    replays = await asyncio.gather(*(ask(account_id) for account_id in account_ids))
    done = [dead_letters_kv_name(item.account_id) for item in replays if item.records is not None]
    for start in range(0, len(done), BULK_DELETE_MAX_KEYS):
        await names.bulk_delete(done[start : start + BULK_DELETE_MAX_KEYS])
    return replays
