"""The operator's view of the labs: how each provider's models do."""

from fastapi import APIRouter, Depends

from control_plane.api.dependencies import ServicesDep, require_admin
from control_plane.api.problems import RESPONSES
from control_plane.api.schemas import TargetOut, TargetsOut
from control_plane.provider_health import WINDOW_MS, Report

router = APIRouter(prefix="/admin/v1", tags=["providers"], dependencies=[Depends(require_admin)], responses=RESPONSES)


@router.get("/providers", summary="List how each provider's models do")
async def list_providers(services: ServicesDep) -> TargetsOut:
    """Judged every few seconds; the edge is told once a minute at most, when something has changed that matters."""
    return TargetsOut(window_ms=WINDOW_MS, items=[_target(report) for report in services.health.reports])


def _target(report: Report) -> TargetOut:
    return TargetOut(
        provider=report.target[0],
        model=report.target[1],
        health=report.health,
        since=report.since_ms,
        outcomes=dict(report.outcomes),
        first_event_ms=report.first_event_ms,
        tokens_per_second=report.tokens_per_second,
    )
