"""The operator's view of usage that the queue gave up delivering, and the call that has it sent again."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from control_plane import accounts, dead_letters
from control_plane.api.bodies import RequestBody
from control_plane.api.dependencies import ServicesDep, require_admin
from control_plane.api.problems import RESPONSES

router = APIRouter(
    prefix="/admin/v1/dead-letters", tags=["dead letters"], dependencies=[Depends(require_admin)], responses=RESPONSES
)


class ReplayRequest(RequestBody):
    """Which Wallets are to send again; without an account, those of all that have dead letters."""

    account_id: str | None = Field(default=None, max_length=64)


class DeadLettersOut(BaseModel):
    """An account whose usage was given up; ``unacknowledged_records`` is null where its Wallet did not answer."""

    model_config = ConfigDict(from_attributes=True)

    account_id: str
    unacknowledged_records: int | None


class DeadLettersListOut(BaseModel):
    """Every account with dead letters."""

    accounts: list[DeadLettersOut]


class ReplayOut(BaseModel):
    """How many records an account's Wallet sends again; null where it did not answer, and then they stay listed."""

    model_config = ConfigDict(from_attributes=True)

    account_id: str
    records: int | None


class ReplayListOut(BaseModel):
    """Every account that was asked."""

    accounts: list[ReplayOut]


@router.get("", summary="List accounts whose usage the queue gave up")
async def list_dead_letters(services: ServicesDep) -> DeadLettersListOut:
    """Their Wallets keep the records. KV may show an account for a minute after its replay."""
    found = await dead_letters.find(services.kv, services.edge)
    return DeadLettersListOut(accounts=[DeadLettersOut.model_validate(item) for item in found])


@router.post("/replay", status_code=202, summary="Have Wallets send their usage again")
async def replay_dead_letters(services: ServicesDep, body: ReplayRequest | None = None) -> ReplayListOut:
    """All that is not acknowledged is sent once more; what was booked already is not booked twice."""
    account_id = None if body is None else body.account_id
    if account_id is None:
        account_ids = await dead_letters.find_accounts(services.kv)
    else:
        async with services.store.read() as connection:
            account_ids = [(await accounts.get(connection, account_id)).id]
    replays = await dead_letters.replay(services.kv, services.edge, account_ids)
    return ReplayListOut(accounts=[ReplayOut.model_validate(item) for item in replays])
