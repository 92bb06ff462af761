"""The operator's routes: accounts, credits, keys, tokens, usage, reconciliation."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from control_plane import accounts, alerts, keys, ledger, tokens, usage
from control_plane.accounts import Account
from control_plane.api import operations
from control_plane.api.bodies import AccountChange, NewAccount, NewCredit, NewKey, NewToken
from control_plane.api.dependencies import PageDep, ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.scalars import TimeIn
from control_plane.api.schemas import (
    AccountOut,
    AccountSummary,
    AlertOut,
    AlertsOut,
    ChangedKeyOut,
    CreditOut,
    DifferenceOut,
    KeyOut,
    NewKeyOut,
    NewTokenOut,
    PageOut,
    ReconciliationOut,
    TokenOut,
    UsageOut,
)
from control_plane.drift import wallet_states
from control_plane.edge import EdgeError
from control_plane.identifiers import RANDOM_BYTES, make_id
from control_plane.reconcile import reconcile
from control_plane.services import Services
from gateway.records import WalletState, key_kv_name

router = APIRouter(prefix="/admin/v1", tags=["admin"], dependencies=[Depends(require_admin)], responses=RESPONSES)


@router.post("/accounts", status_code=201, summary="Open an account")
async def create_account(body: NewAccount, services: ServicesDep) -> AccountOut:
    """It has its trial credit from the start, once."""
    account = await operations.open_account(services, email=body.email, name=body.name)
    return await _shown(services, account)


@router.get("/accounts", summary="List accounts, newest first")
async def list_accounts(page_request: PageDep, services: ServicesDep) -> PageOut[AccountSummary]:
    async with services.store.read() as connection:
        page = await accounts.page(connection, page_request)
        items = [
            AccountSummary(**AccountSummary.fields_of(account, await ledger.balance(connection, account.id)))
            for account in page.items
        ]
    return PageOut(items=items, next_cursor=page.next_cursor)


@router.get("/accounts/{account_id}", summary="Read an account")
async def read_account(account_id: str, services: ServicesDep) -> AccountOut:
    async with services.store.read() as connection:
        account = await accounts.get(connection, account_id)
    return await _shown(services, account)


@router.patch("/accounts/{account_id}", summary="Rename, suspend or resume an account")
async def change_account(account_id: str, body: AccountChange, services: ServicesDep) -> AccountOut:
    """While an account is suspended the edge refuses all its keys; resumed, they work again."""
    names: list[str] = []
    async with services.store.begin() as connection:
        before = await accounts.get(connection, account_id)
        if "name" in body.model_fields_set:
            await accounts.rename(connection, account_id, body.name)
        if body.state is not None and body.state != before.state:
            await accounts.set_state(connection, account_id, body.state)
        account = await accounts.get(connection, account_id)
        if account.state != before.state:
            projected = await keys.project_account(connection, account)
            names = [key_kv_name(key.sha256) for key in projected]
    await operations.delivered_about(services, names)
    return await _shown(services, account)


@router.post("/accounts/{account_id}/credits", summary="Give an account money")
async def credit_account(account_id: str, body: NewCredit, services: ServicesDep) -> CreditOut:
    """The same reference again answers the same and gives nothing; with another amount it is 409."""
    async with services.store.begin() as connection:
        await accounts.get(connection, account_id)
        transfer_id = await ledger.credit_account(
            connection,
            account_id=account_id,
            amount=body.amount_usd,
            reference=body.reference,
            now_ms=services.now_ms(),
        )
        balance = await ledger.balance(connection, account_id)
    delivered = await operations.delivered_about(services, [account_id])
    return CreditOut(transfer_id=transfer_id, balance_usd=balance.balance_nano_usd, delivered=delivered)


@router.post("/accounts/{account_id}/keys", status_code=201, summary="Make a key")
async def create_key(account_id: str, body: NewKey, services: ServicesDep) -> NewKeyOut:
    """`key` is the secret; it is stored nowhere and never shown again."""
    return await operations.create_key(services, account_id, body.terms())


@router.get("/accounts/{account_id}/keys", summary="List an account's keys, newest first")
async def list_keys(account_id: str, page_request: PageDep, services: ServicesDep) -> PageOut[KeyOut]:
    return await operations.list_keys(services, account_id, page_request)


@router.delete("/keys/{key_id}", summary="Revoke a key")
async def revoke_key(key_id: str, services: ServicesDep) -> ChangedKeyOut:
    """Refused from now on, for good. Revoking it again changes nothing."""
    return await operations.revoke_key(services, key_id)


@router.post("/keys/{key_id}/rotate", summary="Give a key a new secret")
async def rotate_key(key_id: str, services: ServicesDep) -> NewKeyOut:
    """The secret that it had is refused from now on; its id, limits and history stay."""
    return await operations.rotate_key(services, key_id)


@router.post("/accounts/{account_id}/tokens", status_code=201, summary="Issue an account token")
async def issue_token(account_id: str, services: ServicesDep, body: NewToken | None = None) -> NewTokenOut:
    """For the customer's own routes. `token` is never shown again."""
    async with services.store.begin() as connection:
        await accounts.get(connection, account_id)
        shown = await tokens.issue_account_token(
            connection,
            account_id=account_id,
            name=(body or NewToken()).name,
            token_id=make_id("tok", services.randomness(RANDOM_BYTES)),
            randomness=services.randomness(operations.SECRET_BYTES),
            now_ms=services.now_ms(),
        )
    return NewTokenOut(**TokenOut.fields_of(shown.token), token=shown.text)


@router.get("/accounts/{account_id}/tokens", summary="List an account's tokens, newest first")
async def list_tokens(account_id: str, page_request: PageDep, services: ServicesDep) -> PageOut[TokenOut]:
    async with services.store.read() as connection:
        await accounts.get(connection, account_id)
        page = await tokens.page(connection, account_id, page_request)
    items = [TokenOut(**TokenOut.fields_of(token)) for token in page.items]
    return PageOut(items=items, next_cursor=page.next_cursor)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke an account token")
async def revoke_token(token_id: str, services: ServicesDep) -> Response:
    async with services.store.begin() as connection:
        await tokens.revoke_account_token(connection, token_id, now_ms=services.now_ms())
    return Response(status_code=204)


@router.get("/usage", summary="List usage, newest first")
async def list_usage(
    page_request: PageDep,
    services: ServicesDep,
    account_id: Annotated[str | None, Query(max_length=64)] = None,
    started_from: Annotated[TimeIn | None, Query(alias="from", description="Started at or after.")] = None,
    started_to: Annotated[TimeIn | None, Query(alias="to", description="Started before.")] = None,
) -> PageOut[UsageOut]:
    return await operations.usage_page(
        services, page_request, account_id=account_id, from_ms=started_from, to_ms=started_to
    )


@router.get("/alerts", summary="List what the operator should look at")
async def list_alerts(services: ServicesDep) -> AlertsOut:
    """Labs that fail or refuse us, top-ups that do not match what PayPal says, accounts whose balance is negative."""
    async with services.store.read() as connection:
        found = await alerts.find(connection, services.health.reports)
    return AlertsOut(items=[AlertOut.model_validate(alert) for alert in found])


@router.get("/reconcile", summary="Compare the Wallets with the books")
async def read_reconciliation(services: ServicesDep) -> ReconciliationOut:
    """What is on its way shows as a difference until it has arrived; a difference that stays is a fault."""
    async with services.store.read() as connection:
        money, used = await ledger.balances_by_account(connection), await usage.costs_by_account(connection)
    states = await wallet_states(services.edge, sorted(money.keys() | used.keys()))
    async with services.store.read() as connection:
        lines = await reconcile(connection, [_known(state) for state in states])
    items = [
        DifferenceOut(
            account_id=line.account_id,
            wallet_nano_usd=line.wallet_nano_usd,
            ledger_nano_usd=line.ledger_nano_usd,
            usage_nano_usd=line.usage_nano_usd,
            difference_nano_usd=line.difference_nano_usd,
        )
        for line in lines
    ]
    return ReconciliationOut(accounts=items, difference_nano_usd=sum(item.difference_nano_usd for item in items))


async def _shown(services: Services, account: Account) -> AccountOut:
    balance = await operations.balance(services, account.id)
    return AccountOut(
        id=account.id,
        email=account.email,
        name=account.name,
        state=account.state,
        created_at=account.created_at_ms,
        balance_usd=balance.balance_usd,
        spent_usd=balance.spent_usd,
        held_usd=balance.held_usd,
    )


def _known(state: WalletState | EdgeError) -> WalletState:
    if isinstance(state, EdgeError):
        raise state
    return state
