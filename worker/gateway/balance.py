"""GET /v1/credits: what the key's account can spend, from the Wallet itself."""

from gateway.auth import authenticate
from gateway.errors import ServiceUnavailable
from gateway.fields import Fields
from gateway.http import Exchange, Response, json_response
from gateway.money import format_usd
from gateway.ports import PlatformError, Ports
from gateway.records import WalletState


async def show_credits(exchange: Exchange, ports: Ports) -> Response:
    """Balance (granted less settled), held and spent; what is free to spend is balance less held."""
    key = await authenticate(exchange.request, ports)
    try:
        text = await ports.wallet(key.account_id, "state", "")
    except PlatformError as error:
        raise ServiceUnavailable("The wallet does not answer right now; please try again.") from error
    state = WalletState.from_fields(Fields.parse(text, "wallet state"))
    return json_response(
        {
            "object": "credits",
            "balance_usd": format_usd(state.balance_nano_usd),
            "held_usd": format_usd(state.held_nano_usd),
            "available_usd": format_usd(state.available_nano_usd),
            "spent_usd": format_usd(state.settled_nano_usd),
        }
    )
