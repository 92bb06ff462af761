"""Workers KV through Cloudflare's REST API: bulk write, bulk delete, bulk get, list."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
from pydantic import SecretStr

from gateway.fields import FieldError, Fields

BULK_WRITE_MAX_PAIRS = 10_000
BULK_DELETE_MAX_KEYS = 10_000
BULK_GET_MAX_KEYS = 100
LIST_PAGE_KEYS = 1_000
TIMEOUT = httpx2.Timeout(10.0, connect=3.0)
# A bulk call answers when all of its keys are done, which took 15 s for 10,000; given up before, it would be repeated.
BULK_TIMEOUT = httpx2.Timeout(60.0, connect=3.0)


class CloudflareError(Exception):
    """A call to Cloudflare gave no answer that can be used."""


class CloudflareRefused(CloudflareError):
    """Cloudflare understood the call and said no: repeated unchanged, it will be refused again."""

    def __init__(self, status: int, code: int | None) -> None:
        super().__init__(f"Cloudflare refused with status {status}, code {code}")
        self.status = status
        self.code = code


class CloudflareUnavailable(CloudflareError):
    """No answer, a failure on Cloudflare's side, or too many calls; ``retry_after_s`` where it says when to return."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"Cloudflare is unavailable: {reason}")
        self.retry_after_s = retry_after_s


class CloudflareKV:
    """One KV namespace. Every method raises CloudflareRefused or CloudflareUnavailable."""

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        namespace_id: str,
        api_token: SecretStr,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx2.AsyncClient(
            base_url=f"{base_url.rstrip('/')}/accounts/{account_id}/storage/kv/namespaces/{namespace_id}/",
            headers={"authorization": f"Bearer {api_token.get_secret_value()}"},
            transport=transport,
        )

    async def bulk_write(self, pairs: Mapping[str, str]) -> frozenset[str]:
        """Write up to 10,000 pairs. Returns the keys that Cloudflare did not write, which a 200 may hold too."""
        _check_size(pairs, BULK_WRITE_MAX_PAIRS)
        body = [{"key": key, "value": value} for key, value in pairs.items()]
        return await self._call_bulk("PUT", "bulk", body)

    async def bulk_delete(self, keys: Sequence[str]) -> frozenset[str]:
        """Delete up to 10,000 keys. Returns those that were not deleted."""
        _check_size(keys, BULK_DELETE_MAX_KEYS)
        return await self._call_bulk("POST", "bulk/delete", list(keys))

    async def bulk_get(self, keys: Sequence[str]) -> dict[str, str]:
        """The values of up to 100 keys; a key that does not exist is left out."""
        _check_size(keys, BULK_GET_MAX_KEYS)
        answer = await self._call("POST", "bulk/get", {"keys": list(keys), "type": "text"})
        try:
            values = answer.object("result").raw_object("values")
        except FieldError as error:
            raise CloudflareUnavailable("a bulk get without values") from error
        return {key: value for key, value in values.items() if isinstance(value, str)}

    async def list_keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Every key name with this prefix, page by page; eventually consistent, as KV is."""
        cursor = ""
        while True:
            query = {"limit": str(LIST_PAGE_KEYS)} | ({"prefix": prefix} if prefix else {})
            answer = await self._call("GET", "keys", params=query | ({"cursor": cursor} if cursor else {}))
            try:
                names = [item.text("name") for item in answer.objects("result")]
                page = answer.optional(answer.object, "result_info")
                cursor = (page and page.optional(page.text, "cursor")) or ""
            except FieldError as error:
                raise CloudflareUnavailable("a list that cannot be read") from error
            for name in names:
                yield name
            if not cursor:
                return

    async def close(self) -> None:
        await self._client.aclose()

    async def _call_bulk(self, method: str, path: str, body: object) -> frozenset[str]:
        answer = await self._call(method, path, body, within=BULK_TIMEOUT)
        try:
            result = answer.optional(answer.object, "result")
            failed = result and result.optional(result.texts, "unsuccessful_keys")
        except FieldError as error:
            raise CloudflareUnavailable("a bulk result that cannot be read") from error
        return frozenset(failed or ())

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        within: httpx2.Timeout = TIMEOUT,
    ) -> Fields:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            response = await self._client.request(
                method, path, content=content, headers=headers, params=params, timeout=within
            )
        except httpx2.HTTPError as error:
            raise CloudflareUnavailable(type(error).__name__) from error
        return _read(response)


def _read(response: httpx2.Response) -> Fields:
    """The envelope of a successful call."""
    status = response.status_code
    if status == 429 or status >= 500:
        raise CloudflareUnavailable(f"status {status}", retry_after_s=_retry_after_s(response))
    try:
        envelope = Fields.parse(response.content, "Cloudflare's answer")
        if status < 400 and envelope.boolean("success"):
            return envelope
        codes = [error.integer("code") for error in envelope.optional(envelope.objects, "errors") or ()]
    except FieldError as error:
        if status < 400:
            raise CloudflareUnavailable("an answer that is not Cloudflare's envelope") from error
        codes = []
    raise CloudflareRefused(status, next(iter(codes), None))


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Cloudflare sends seconds; a date, which the header may hold too, is left to our own backoff."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _check_size(items: Mapping[str, Any] | Sequence[str], most: int) -> None:
    if not 1 <= len(items) <= most:
        raise ValueError(f"a bulk call takes 1 to {most} keys")
