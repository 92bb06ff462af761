"""What both the operator's and the customer's routes do: balances, keys, usage.

Whatever changes what the edge must know is committed first; then the answer waits, for a bounded time, until the edge
has it, so that the caller's next request finds it there.
"""

from collections.abc import Iterable

from control_plane import accounts, keys, ledger, outbox, usage
from control_plane.accounts import Account
from control_plane.api.problems import Problem
from control_plane.api.schemas import BalanceOut, ChangedKeyOut, KeyOut, NewKeyOut, PageOut, UsageOut
from control_plane.edge import EdgeError
from control_plane.identifiers import RANDOM_BYTES, make_id
from control_plane.keys import Key, KeyNotFound, KeyTerms
from control_plane.paging import PageRequest
from control_plane.services import Services
from gateway.money import NanoUsd
from gateway.records import key_kv_name

SECRET_BYTES = 32


async def open_account(services: Services, *, email: str, name: str | None) -> Account:
    """A new account with its trial credit. Raises EmailTaken."""
    account_id, now_ms = make_id("acct", services.randomness(RANDOM_BYTES)), services.now_ms()
    trial = services.settings.trial_credit_usd
    async with services.store.begin() as connection:
        account = await accounts.create(connection, account_id=account_id, email=email, name=name, now_ms=now_ms)
        if trial:
            await ledger.grant_trial(connection, account_id=account.id, amount=trial, now_ms=now_ms)
    services.projector.wake()
    return account


async def balance(services: Services, account_id: str) -> BalanceOut:
    """What the account has, has spent and holds. Raises AccountNotFound."""
    async with services.store.read() as connection:
        await accounts.get(connection, account_id)
        in_books = await ledger.balance(connection, account_id)
        grants = await ledger.grants_of(connection, account_id)
    return BalanceOut(
        balance_usd=in_books.balance_nano_usd,
        spent_usd=in_books.spent_nano_usd,
        # A Wallet comes into being near the customer's first request, so it is not asked for before it has money.
        held_usd=await _held(services, account_id) if grants else NanoUsd(0),
    )


async def create_key(services: Services, account_id: str, terms: KeyTerms) -> NewKeyOut:
    """Raises AccountNotFound, AccountSuspended, TooManyKeys; Problem for terms that cannot be met."""
    now_ms = services.now_ms()
    _check_terms(terms, services, now_ms)
    async with services.store.begin() as connection:
        account = await accounts.get(connection, account_id)
        shown = await keys.create(
            connection,
            account,
            terms,
            key_id=make_id("key", services.randomness(RANDOM_BYTES)),
            randomness=services.randomness(SECRET_BYTES),
            now_ms=now_ms,
        )
    delivered = await delivered_about(services, [key_kv_name(shown.key.sha256)])
    return NewKeyOut(**KeyOut.fields_of(shown.key), key=shown.secret, delivered=delivered)


async def list_keys(services: Services, account_id: str, request: PageRequest) -> PageOut[KeyOut]:
    """Raises AccountNotFound."""
    async with services.store.read() as connection:
        await accounts.get(connection, account_id)
        page = await keys.page(connection, account_id, request)
    return PageOut(items=[KeyOut(**KeyOut.fields_of(key)) for key in page.items], next_cursor=page.next_cursor)


async def rotate_key(services: Services, key_id: str, *, owner: str | None = None) -> NewKeyOut:
    """``owner`` is the only account whose key it may be. Raises KeyNotFound, KeyIsRevoked, AccountSuspended."""
    async with services.store.begin() as connection:
        old = _owned(await keys.get(connection, key_id), owner)
        account = await accounts.get(connection, old.account_id)
        randomness, now_ms = services.randomness(SECRET_BYTES), services.now_ms()
        shown = await keys.rotate(connection, account, key_id, randomness=randomness, now_ms=now_ms)
    delivered = await delivered_about(services, [key_kv_name(old.sha256), key_kv_name(shown.key.sha256)])
    return NewKeyOut(**KeyOut.fields_of(shown.key), key=shown.secret, delivered=delivered)


async def revoke_key(services: Services, key_id: str, *, owner: str | None = None) -> ChangedKeyOut:
    """``owner`` is the only account whose key it may be. Raises KeyNotFound."""
    async with services.store.begin() as connection:
        old = _owned(await keys.get(connection, key_id), owner)
        account = await accounts.get(connection, old.account_id)
        key = await keys.revoke(connection, account, key_id, now_ms=services.now_ms())
    delivered = await delivered_about(services, [key_kv_name(key.sha256), key.account_id])
    return ChangedKeyOut(**KeyOut.fields_of(key), delivered=delivered)


async def usage_page(
    services: Services, request: PageRequest, *, account_id: str | None, from_ms: int | None, to_ms: int | None
) -> PageOut[UsageOut]:
    async with services.store.read() as connection:
        page = await usage.page(
            connection,
            account_id=account_id,
            from_ms=from_ms,
            to_ms=to_ms,
            cursor=request.cursor,
            limit=request.limit,
        )
    return PageOut(items=[UsageOut.of(record) for record in page.items], next_cursor=page.next_cursor)


async def delivered_about(services: Services, subjects: Iterable[str]) -> bool:
    """Wait, for a bounded time, until the edge knows all there is to know about these KV names and accounts."""
    async with services.store.read() as connection:
        row_ids = await outbox.undelivered(connection, subjects)
    return await services.projector.delivered(row_ids, timeout_s=services.settings.delivery_wait_ms / 1000)


async def _held(services: Services, account_id: str) -> NanoUsd | None:
    try:
        return (await services.edge.wallet_state(account_id)).held_nano_usd
    except EdgeError:
        return None


def _check_terms(terms: KeyTerms, services: Services, now_ms: int) -> None:
    for index, model in enumerate(terms.models or ()):
        if model not in services.loaded.models:
            raise Problem.invalid(f"/models/{index}", "is not a model of the catalogue")
    if terms.expires_at_ms is not None and terms.expires_at_ms <= now_ms:
        raise Problem.invalid("/expires_at", "must be in the future")


def _owned(key: Key, owner: str | None) -> Key:
    if owner is not None and key.account_id != owner:
        raise KeyNotFound
    return key
