"""Events in the forms in which they are read, as what a standing is asked for. Pure."""

import datetime as dt

from trailhouse.proof.seal import SEAL_TYPE
from trailhouse.query.standing.standings import Subject
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record_hash import record_key

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_MILLISECOND = dt.timedelta(milliseconds=1)


def subject_of(event: AuditEvent, appended_at: dt.datetime | None = None) -> Subject:
    """Return what the standing of *event* is asked by: all of it is what its own record says."""
    source = event.source
    return Subject(
        session_id=event.session_id,
        tenant_id=event.tenant_id or "",
        occurred_us=(event.occurred_at - _EPOCH) // _MICROSECOND,
        record_key=record_key(event.record),
        service=(source and source.service) or "",
        producer_id=(source and source.producer_id) or "",
        seq=source.seq if source else None,
        is_seal=event.type == SEAL_TYPE and not event.tenant_id,
        appended_ms=None if appended_at is None else (appended_at - _EPOCH) // _MILLISECOND,
    )
