"""Whether the control plane works, for load balancers, and its figures, for Prometheus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import alerts, catalogue, outbox
from control_plane.api.dependencies import ServicesDep
from control_plane.api.problems import RESPONSES, Problem
from control_plane.outbox import Backlog, Target
from control_plane.services import Services

LATE_MS = 60_000

router = APIRouter(tags=["health"], responses=RESPONSES)


class BacklogOut(BaseModel):
    """What waits to be delivered, and how long its oldest row has waited."""

    pending: int
    lag_ms: int


class Health(BaseModel):
    """``late`` says that deliveries to the edge have waited for more than a minute."""

    status: Literal["ok", "late"]
    catalogue_version: int
    projection: dict[Target, BacklogOut]


@router.get("/healthz", summary="Check the database and the projection")
async def read_health(services: ServicesDep) -> Health:
    """503 when the database does not answer."""
    async with _reading(services) as connection:
        backlogs, version = await outbox.backlogs(connection), await catalogue.newest_version(connection)
    projection = {item.target: _backlog_out(item, services) for item in backlogs}
    late = any(target.lag_ms > LATE_MS for target in projection.values())
    return Health(status="late" if late else "ok", catalogue_version=version, projection=projection)


@router.get("/metrics", include_in_schema=False)
async def read_metrics(services: ServicesDep) -> Response:
    async with _reading(services) as connection:
        backlogs, found = await outbox.backlogs(connection), await alerts.find(connection, services.health.reports)
    for item in backlogs:
        services.metrics.outbox_pending.labels(item.target).set(item.pending)
        services.metrics.outbox_lag_seconds.labels(item.target).set(_backlog_out(item, services).lag_ms / 1000)
    services.metrics.show_alerts(alert.kind for alert in found)
    services.metrics.show_health((*report.target, report.health) for report in services.health.reports)
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@asynccontextmanager
async def _reading(services: Services) -> AsyncIterator[AsyncConnection]:
    try:
        async with services.store.read() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise Problem(503, "database_unavailable", "The database does not answer") from error


def _backlog_out(backlog: Backlog, services: Services) -> BacklogOut:
    lag_ms = 0 if backlog.oldest_at_ms is None else max(0, services.now_ms() - backlog.oldest_at_ms)
    return BacklogOut(pending=backlog.pending, lag_ms=lag_ms)
