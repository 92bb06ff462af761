"""Who is calling, and whether the key may do what is asked."""

from collections.abc import Sequence

from gateway.credentials import hash_api_key, is_api_key
from gateway.errors import InvalidApiKey, ModelNotAllowed, ServiceUnavailable
from gateway.http import Request
from gateway.ports import PlatformError, Ports
from gateway.records import KeyRecord

_CHALLENGE = {"www-authenticate": 'Bearer realm="haotokai"'}


async def authenticate(request: Request, ports: Ports) -> KeyRecord:
    """The record of the caller's key; raises InvalidApiKey for one that is absent, unknown, revoked or expired."""
    text = _bearer(request)
    if not is_api_key(text):
        raise InvalidApiKey("The API key is malformed. Keys start with htk_.", headers=_CHALLENGE)
    try:
        key = await ports.find_key(hash_api_key(text))
    except PlatformError as error:
        raise ServiceUnavailable("API keys cannot be checked right now; please try again.") from error
    if key is None:
        raise InvalidApiKey("The API key is not known.", headers=_CHALLENGE)
    if key.state != "active":
        raise InvalidApiKey("The API key has been revoked.", headers=_CHALLENGE)
    if key.expires_at_ms is not None and key.expires_at_ms <= ports.now_ms():
        raise InvalidApiKey("The API key has expired.", headers=_CHALLENGE)
    return key


def admit(key: KeyRecord, models: Sequence[str]) -> None:
    """Raises ModelNotAllowed for a model outside the key's allow-list, also for one to fall back on."""
    for model in models if key.models is not None else ():
        if model not in (key.models or ()):
            param = "model" if model == models[0] else "models"
            raise ModelNotAllowed(f"This key may not use the model {model!r}.", param=param)


def _bearer(request: Request) -> str:
    header = request.header("authorization")
    if header is None:
        raise InvalidApiKey("No API key: send it as 'Authorization: Bearer htk_…'.", headers=_CHALLENGE)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidApiKey("The Authorization header must be 'Bearer htk_…'.", headers=_CHALLENGE)
    return token.strip()
