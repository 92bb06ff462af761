"""The customer's routes: the own account's balance, keys and usage, with an account token."""

from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.api import operations
from control_plane.api.bodies import NewKey
from control_plane.api.dependencies import OwnAccountId, PageDep, ServicesDep
from control_plane.api.problems import RESPONSES
from control_plane.api.scalars import TimeIn
from control_plane.api.schemas import BalanceOut, ChangedKeyOut, KeyOut, NewKeyOut, PageOut, UsageOut

router = APIRouter(prefix="/account/v1", tags=["account"], responses=RESPONSES)


@router.get("/balance", summary="Read the balance")
async def read_balance(account_id: OwnAccountId, services: ServicesDep) -> BalanceOut:
    return await operations.balance(services, account_id)


@router.post("/keys", status_code=201, summary="Make a key")
async def create_key(body: NewKey, account_id: OwnAccountId, services: ServicesDep) -> NewKeyOut:
    """`key` is the secret; it is stored nowhere and never shown again."""
    return await operations.create_key(services, account_id, body.terms())


@router.get("/keys", summary="List the keys, newest first")
async def list_keys(page_request: PageDep, account_id: OwnAccountId, services: ServicesDep) -> PageOut[KeyOut]:
    return await operations.list_keys(services, account_id, page_request)


@router.delete("/keys/{key_id}", summary="Revoke a key")
async def revoke_key(key_id: str, account_id: OwnAccountId, services: ServicesDep) -> ChangedKeyOut:
    """Refused from now on, for good. Revoking it again changes nothing."""
    return await operations.revoke_key(services, key_id, owner=account_id)


@router.post("/keys/{key_id}/rotate", summary="Give a key a new secret")
async def rotate_key(key_id: str, account_id: OwnAccountId, services: ServicesDep) -> NewKeyOut:
    """The secret that it had is refused from now on; its id, limits and history stay."""
    return await operations.rotate_key(services, key_id, owner=account_id)


@router.get("/usage", summary="List usage, newest first")
async def list_usage(
    page_request: PageDep,
    account_id: OwnAccountId,
    services: ServicesDep,
    started_from: Annotated[TimeIn | None, Query(alias="from", description="Started at or after.")] = None,
    started_to: Annotated[TimeIn | None, Query(alias="to", description="Started before.")] = None,
) -> PageOut[UsageOut]:
    return await operations.usage_page(
        services, page_request, account_id=account_id, from_ms=started_from, to_ms=started_to
    )
