"""GET /v1/credits: what the key's account can spend, from the Wallet itself."""

import json
from typing import Any

from gateway.auth import authenticate
from gateway.errors import ServiceUnavailable
from gateway.fields import Fields
from gateway.http import Exchange, Response, json_response
from gateway.money import NanoUsd, format_usd
from gateway.ports import PlatformError, Ports
from gateway.records import KeyRecord, WalletState


async def show_credits(exchange: Exchange, ports: Ports) -> Response:
    """Balance (granted less settled), held and spent; what is free to spend is balance less held."""
    key = await authenticate(exchange.request, ports)
    try:
        text = await ports.wallet(key.account_id, "credits", json.dumps({"key_id": key.key_id}))
    except PlatformError as error:
        raise ServiceUnavailable("The wallet does not answer right now; please try again.") from error
    credits_ = Fields.parse(text, "credits")
    state = WalletState.from_fields(credits_.object("state"))
    return json_response(
        {
            "object": "credits",
            "balance_usd": format_usd(state.balance_nano_usd),
            "held_usd": format_usd(state.held_nano_usd),
            "available_usd": format_usd(state.available_nano_usd),
            "spent_usd": format_usd(state.settled_nano_usd),
            "spend_cap": _cap(key, credits_.object("spent")),
        }
    )


def _cap(key: KeyRecord, spent: Fields) -> dict[str, Any] | None:
    """The key's own cap, and how much of it is used; None without one."""
    cap = key.limits.spend_cap_nano_usd
    if cap is None:
        return None
    used = NanoUsd(spent.integer(key.limits.spend_cap_period))
    return {
        "period": key.limits.spend_cap_period,
        "cap_usd": format_usd(cap),
        "spent_usd": format_usd(used),
        "remaining_usd": format_usd(NanoUsd(max(0, cap - used))),
    }
