"""The events of a page, each with its standing."""

import datetime as dt

import msgspec

from trailhouse.proof.standing import Standing
from trailhouse.query.answer import Page
from trailhouse.query.search.found import FoundEvent
from trailhouse.query.standing.standings import Standings, Subject
from trailhouse.query.standing.subjects import subject_of
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES
from trailhouse.store import ClickHouse

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def with_standings(
    clickhouse: ClickHouse, standings: Standings, page: Page[FoundEvent]
) -> Page[FoundEvent]:
    """Return *page* with the standing of each event of it; as it is where the policy enrols nobody.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    subjects = {
        place: subject
        for place, each in enumerate(page.items)
        if (subject := _subject(each)) is not None
    }
    found = dict(zip(subjects, standings.of(clickhouse, list(subjects.values())), strict=True))
    if not any(found.values()):
        return page
    items = [
        msgspec.structs.replace(each, standing=_known(each, found.get(place)))
        for place, each in enumerate(page.items)
    ]
    return msgspec.structs.replace(page, items=tuple(items))


def _known(found: FoundEvent, standing: Standing | None) -> Standing | None:
    # Of one that is too large to be read nobody knows whom it names: that a seal has it is all that can be said.
    return standing if found.event is not None or standing is Standing.ATTESTED else None


def _subject(found: FoundEvent) -> Subject | None:
    """Return what the standing of an event is asked by; None where its record is not there, or contradicts the row."""
    if found.event is not None:
        return subject_of(found.event, found.appended_at)
    if found.problem is not None or found.record_sha256 is None:
        return None
    # Too large to be read: what seals say of it is known by its digest, and no more.
    return Subject(
        session_id=found.session_id,
        tenant_id=found.tenant_id or "",
        occurred_us=(found.occurred_at - _EPOCH) // _MICROSECOND,
        record_key=bytes.fromhex(found.record_sha256)[:RECORD_KEY_BYTES],
        service="",
        producer_id="",
        seq=None,
        is_seal=False,
    )
