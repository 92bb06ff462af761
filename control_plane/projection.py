"""What the edge must learn, put into the outbox in the caller's transaction: a fact and its delivery commit together.

The projector delivers afterwards, as often as it takes: KV records to Cloudflare, grants and revocations to the
account's Wallet. Each function returns the number of its outbox row.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import outbox
from gateway import records
from gateway.records import CATALOGUE_KV_KEY, Catalogue, Grant, KeyRecord, key_kv_name


async def enqueue_key(connection: AsyncConnection, key_sha256: str, record: KeyRecord) -> int:
    """Project what the edge knows of the key with this hash."""
    return await _enqueue_record(connection, key_kv_name(key_sha256), record)


async def enqueue_catalogue(connection: AsyncConnection, catalogue: Catalogue) -> int:
    """Project the catalogue."""
    return await _enqueue_record(connection, CATALOGUE_KV_KEY, catalogue)


async def enqueue_grant(connection: AsyncConnection, account_id: str, grant: Grant) -> int:
    """Give a grant to the account's Wallet, once, however often it is delivered."""
    payload = records.encode(grant)
    return await outbox.append(connection, target="wallet", kind="grant", subject=account_id, payload=payload)


async def enqueue_revocation(connection: AsyncConnection, account_id: str, key_id: str) -> int:
    """Let the account's Wallet refuse the key from now on."""
    return await outbox.append(connection, target="wallet", kind="revocation", subject=account_id, payload=key_id)


async def _enqueue_record(connection: AsyncConnection, name: str, record: KeyRecord | Catalogue) -> int:
    payload, version = records.encode(record.to_json()), record.version
    return await outbox.append(connection, target="kv", kind="record", subject=name, payload=payload, version=version)
