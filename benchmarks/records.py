"""Recorded agent events as `emit` encodes them, each with an id of its own, at the size one asks for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trailhouse.schemas import AuditEvent, Source, event_of
from trailhouse.schemas.uuid7 import uuid7

RECORDED = Path(__file__).parents[1] / "tests" / "data" / "airline_runs.jsonl"
SOURCE_FROM_BYTES = 400


class Ready(NamedTuple):
    """A Kafka record: its key and its value."""

    key: bytes
    value: bytes


def recorded_fields() -> list[dict[str, object]]:
    """Return the recorded events as `AuditLogger.log` takes them."""
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


def ready_records(count: int, size_bytes: int | None = None) -> Iterator[Ready]:
    """Yield *count* records; each pass over the recording makes new sessions of it.

    *size_bytes* fills or empties `data` until a record has about that size; None leaves it as it is.
    """
    templates = [
        _template(fields, number, size_bytes) for number, fields in enumerate(recorded_fields())
    ]
    for number in range(count):
        turn, place = divmod(number, len(templates))
        session, before, between, after = templates[place]
        yield Ready(
            session + b"-%d" % turn,
            before + uuid7().encode() + between + session + b"-%d" % turn + after,
        )


def _template(
    fields: dict[str, object], number: int, size_bytes: int | None
) -> tuple[bytes, bytes, bytes, bytes]:
    """Return session and record cut at the event id and at the session's end."""
    source = Source(service="bench", host="host", pid=1, producer_id="bench-producer", seq=number)
    if size_bytes is not None and size_bytes < SOURCE_FROM_BYTES:
        kept = ("type", "session_id", "run_id", "occurred_at")  # all that fits
        fields = {name: fields[name] for name in kept if name in fields}
    else:
        fields = fields | {"source": source}
    if size_bytes is not None:
        fields = fields | {"metadata": {}}
        fields = fields | {"data": _data_of(size_bytes, fields)}
    event: AuditEvent = event_of(fields)
    session = json.dumps(event.session_id, ensure_ascii=False)[1:-1].encode()
    before, after = event.record.split(event.event_id.encode(), 1)
    marker = b'"session_id":"' + session
    between, last = after.split(marker, 1)
    return session, before, between + marker[: -len(session)], last


def _data_of(size_bytes: int, fields: dict[str, object]) -> dict[str, object]:
    bare = len(event_of(fields | {"data": {}, "metadata": {}}).record)
    text = (
        json.dumps(fields.get("data") or {}, ensure_ascii=False)
        .replace('"', " ")
        .replace("\\", " ")
    )
    room = size_bytes - bare - len(b'"text":""')
    if room <= 0:
        return {}
    whole = text.encode() * (room // max(1, len(text)) + 1)
    return {"text": whole[:room].decode(errors="ignore")}
