"""The operator's view of usage that was not booked: what came, and why it cannot be right."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from control_plane import quarantine
from control_plane.api.dependencies import PageDep, ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.scalars import TimeOut
from control_plane.api.schemas import PageOut

router = APIRouter(
    prefix="/admin/v1/quarantine", tags=["quarantine"], dependencies=[Depends(require_admin)], responses=RESPONSES
)


class QuarantinedOut(BaseModel):
    """One record that was not booked; nobody was charged for it."""

    model_config = ConfigDict(from_attributes=True)

    request_id: str
    content_sha256: str = Field(description="Tells records of the same request apart.")
    reason: str
    record: str = Field(description="What the edge reported, in JSON, as it came.")
    received_at: TimeOut = Field(validation_alias="received_at_ms")


@router.get("", summary="List usage that was not booked, newest first")
async def list_quarantine(page_request: PageDep, services: ServicesDep) -> PageOut[QuarantinedOut]:
    """The same content is listed once, however often it came."""
    async with services.store.read() as connection:
        page = await quarantine.page(connection, page_request)
    return PageOut(items=[QuarantinedOut.model_validate(kept) for kept in page.items], next_cursor=page.next_cursor)
