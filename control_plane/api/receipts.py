"""Receipts over HTTP: one, a page of them, and an account's whole chain as ``verify-receipts`` reads it."""

from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse

from control_plane import receipts
from control_plane.api.dependencies import OwnAccountId, PageDep, ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.receipt_schemas import PublicKeyOut, SignedReceiptOut
from control_plane.api.schemas import PageOut
from control_plane.receipt_key import ALGORITHM
from control_plane.services import Services

CHAIN_PART: Final = 200

account_router = APIRouter(prefix="/account/v1", tags=["account"], responses=RESPONSES)
admin_router = APIRouter(prefix="/admin/v1", tags=["admin"], dependencies=[Depends(require_admin)], responses=RESPONSES)
public_router = APIRouter(tags=["public"], responses=RESPONSES)

CANONICAL: Final[dict[int | str, dict[str, Any]]] = {200: {"model": SignedReceiptOut}}
LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A signed receipt a line, from number 1 on.", "content": {"application/jsonl": {}}}
}


@public_router.get("/receipts/public-key", summary="Read the key that receipts are checked with")
async def read_public_key(services: ServicesDep) -> PublicKeyOut:
    public = services.receipt_key.public
    return PublicKeyOut(algorithm=ALGORITHM, public_key=public.text, key_id=public.key_id)


@account_router.get("/receipts", summary="List the receipts, newest first")
async def list_receipts(
    page_request: PageDep, account_id: OwnAccountId, services: ServicesDep
) -> PageOut[SignedReceiptOut]:
    async with services.store.read() as connection:
        page = await receipts.page(connection, page_request, account_id=account_id)
    lines = [receipt.signed_by(services.receipt_key).line for receipt in page.items]
    items = [SignedReceiptOut.model_validate_json(line) for line in lines]
    return PageOut(items=items, next_cursor=page.next_cursor)


@account_router.get(
    "/receipts.jsonl",
    summary="Download the chain of receipts",
    response_class=StreamingResponse,
    responses=LINES,
)
async def download_receipts(account_id: OwnAccountId, services: ServicesDep) -> StreamingResponse:
    """What `haotokai verify-receipts` checks."""
    return StreamingResponse(_chain(services, account_id), media_type="application/jsonl")


@account_router.get(
    "/receipts/{request_id}", summary="Read the receipt of a request", response_class=Response, responses=CANONICAL
)
async def read_own_receipt(request_id: str, account_id: OwnAccountId, services: ServicesDep) -> Response:
    """In canonical JSON, byte for byte as its line in the chain."""
    return await _receipt(services, request_id, owner=account_id)


@admin_router.get(
    "/receipts/{request_id}", summary="Read the receipt of a request", response_class=Response, responses=CANONICAL
)
async def read_receipt(request_id: str, services: ServicesDep) -> Response:
    return await _receipt(services, request_id)


async def _receipt(services: Services, request_id: str, *, owner: str | None = None) -> Response:
    async with services.store.read() as connection:
        receipt = await receipts.get(connection, request_id, owner=owner)
    return Response(receipt.signed_by(services.receipt_key).line, media_type="application/json")


async def _chain(services: Services, account_id: str) -> AsyncIterator[str]:
    """In parts of one transaction each, so that a slow reader holds none open; the chain only grows meanwhile."""
    number = 0
    while True:
        async with services.store.read() as connection:
            part = await receipts.after(connection, account_id, number, limit=CHAIN_PART)
        if not part:
            return
        number = part[-1].number
        yield "".join(f"{receipt.signed_by(services.receipt_key).line}\n" for receipt in part)
