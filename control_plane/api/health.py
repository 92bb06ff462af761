"""Whether the control plane works, for load balancers, and its figures, for Prometheus."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from control_plane import outbox
from control_plane.api.dependencies import ServicesDep
from control_plane.api.problems import RESPONSES, Problem
from control_plane.outbox import Backlog, Target
from control_plane.services import Services

LATE_MS = 60_000

router = APIRouter(tags=["health"], responses=RESPONSES)


class TargetHealth(BaseModel):
    """What waits to be delivered, and how long its oldest row has waited."""

    pending: int
    lag_ms: int


class Health(BaseModel):
    """``late`` says that deliveries to the edge have waited for more than a minute."""

    status: Literal["ok", "late"]
    catalogue_version: int
    projection: dict[Target, TargetHealth]


@router.get("/healthz", summary="Check the database and the projection")
async def read_health(services: ServicesDep) -> Health:
    """503 when the database does not answer."""
    projection = {item.target: _target_health(item, services) for item in await _backlogs(services)}
    late = any(target.lag_ms > LATE_MS for target in projection.values())
    return Health(status="late" if late else "ok", catalogue_version=services.catalogue.version, projection=projection)


@router.get("/metrics", include_in_schema=False)
async def read_metrics(services: ServicesDep) -> Response:
    for item in await _backlogs(services):
        services.metrics.outbox_pending.labels(item.target).set(item.pending)
        services.metrics.outbox_lag_seconds.labels(item.target).set(_target_health(item, services).lag_ms / 1000)
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _backlogs(services: Services) -> list[Backlog]:
    try:
        async with services.store.read() as connection:
            return await outbox.backlogs(connection)
    except SQLAlchemyError as error:
        raise Problem(503, "database_unavailable", "The database does not answer") from error


def _target_health(backlog: Backlog, services: Services) -> TargetHealth:
    lag_ms = 0 if backlog.oldest_at_ms is None else max(0, services.now_ms() - backlog.oldest_at_ms)
    return TargetHealth(pending=backlog.pending, lag_ms=lag_ms)
