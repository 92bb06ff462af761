"""The operator's view of what the edge knows: the outbox, saying everything again, and what differs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from control_plane import drift, outbox
from control_plane.api.dependencies import PageDep, ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.schemas import DriftOut, OutboxRowOut, PageOut, ResyncOut
from control_plane.outbox import OutboxState

router = APIRouter(
    prefix="/admin/v1/projection", tags=["projection"], dependencies=[Depends(require_admin)], responses=RESPONSES
)


@router.get("/outbox", summary="List deliveries to the edge, newest first")
async def list_outbox(
    page_request: PageDep, services: ServicesDep, state: OutboxState | None = None
) -> PageOut[OutboxRowOut]:
    async with services.store.read() as connection:
        page = await outbox.page(connection, page_request, state=state)
    items = [OutboxRowOut(**OutboxRowOut.fields_of(row)) for row in page.items]
    return PageOut(items=items, next_cursor=page.next_cursor)


@router.post("/resync", status_code=202, summary="Say everything to the edge again")
async def resync(
    services: ServicesDep,
    remove_extra: Annotated[bool, Query(description="Delete key records that the database does not know.")] = False,
) -> ResyncOut:
    async with services.store.begin() as connection:
        enqueued = await drift.resync(connection, services.loaded)
    services.projector.wake()
    removed = await drift.remove_extra(services.store, services.kv) if remove_extra else []
    return ResyncOut(keys=enqueued.keys, grants=enqueued.grants, revocations=enqueued.revocations, removed=removed)


@router.get("/drift", summary="Find what differs at the edge")
async def read_drift(services: ServicesDep) -> DriftOut:
    """What is on its way shows as well, until it has arrived."""
    found = await drift.find_drift(services.store, services.kv, services.edge, services.loaded)
    return DriftOut.model_validate(found)
