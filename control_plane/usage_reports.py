"""What the edge reports of its requests, read and checked: usage records, and what is none with the reason.

A batch of records that all are right, as nearly every one is, is read as a whole; of any other, each is read alone.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from control_plane.quarantine import Quarantined
from gateway.fields import MAX_INTEGER, FieldError, Fields
from gateway.records import UsageRecord

RECORDS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    records: Annotated[tuple[UsageRecord, ...], Field(max_length=RECORDS_MAX)]


_REPORT = TypeAdapter(_Report)
_RECORD = TypeAdapter(UsageRecord)


def read(body: bytes) -> list[UsageRecord | Quarantined]:
    """The batch of a report.

    Raises FieldError for a body that is none, for too many records, and for one that does not name its request.
    """
    try:
        records = _REPORT.validate_json(body, strict=True).records
    except ValidationError:
        return _read_each(body)
    return _read_each(body) if any(map(_fault, records)) else list(records)


def _read_each(body: bytes) -> list[UsageRecord | Quarantined]:
    values = list(Fields.parse(body, "report").objects("records"))
    if len(values) > RECORDS_MAX:
        raise FieldError(f"report.records: more than {RECORDS_MAX}")
    return list(map(_read_one, values))


def _read_one(fields: Fields) -> UsageRecord | Quarantined:
    text = json.dumps(fields.values)
    try:
        record = _RECORD.validate_json(text, strict=True)
        fault = _fault(record)
    except ValidationError as error:
        fault = _first_fault(error)
    if fault is None:
        return record
    return Quarantined(request_id=fields.text("request_id"), reason=f"malformed: {fault}", record=text)


def _first_fault(error: ValidationError) -> str:
    """Names the field, never a value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"


def _fault(record: UsageRecord) -> str | None:
    """What the types do not say: the numbers are within bounds, and the texts can be stored."""
    usage, attempts = record.usage, record.attempts
    numbers = [
        *(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens),
        *(record.cost_nano_usd, record.started_at_ms, record.first_event_ms or 0, record.total_ms),
    ]
    texts = [
        *(record.request_id, record.account_id, record.key_id, record.model),
        *(record.served_model or "", record.provider or "", record.price_row or ""),
    ]
    for attempt in attempts:
        numbers += attempt.status, attempt.ms
        texts += attempt.provider, attempt.model, attempt.outcome
    if min(numbers) < 0 or max(numbers) > MAX_INTEGER:
        return "a number is out of range"
    if usage.cached_tokens > usage.prompt_tokens:
        return "usage: more cached tokens than prompt tokens"
    return "a text holds NUL" if "\0" in "".join(texts) else None  # which PostgreSQL refuses
