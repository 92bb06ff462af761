"""What payment providers call: their webhooks.

200 says that a delivery need not come again, 4xx that it is forged or malformed, 5xx that it should be sent once more.
"""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from control_plane.api.dependencies import ServicesDep
from control_plane.api.problems import RESPONSES

router = APIRouter(prefix="/webhooks", tags=["webhooks"], responses=RESPONSES)


class ReceivedOut(BaseModel):
    """What became of a delivery."""

    outcome: Literal["done", "seen", "irrelevant"]


@router.post("/{provider}", summary="Take a payment provider's webhook")
async def take_webhook(provider: str, request: Request, services: ServicesDep) -> ReceivedOut:
    """Signed by the provider over the raw bytes. Nothing that it says is believed but the ids of what to look at."""
    raw = await request.body()
    return ReceivedOut(outcome=await services.cashier.receive(provider, raw, request.headers))
