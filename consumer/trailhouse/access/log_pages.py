"""The log of a session in pages: a cursor goes on behind the last event, whatever is stored meanwhile."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from trailhouse.access.operation import NothingFoundError, Values
from trailhouse.query import AuditReader
from trailhouse.query.answer import Page
from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import Cursors, Walk
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouseConfig

LogEntry = AuditEvent | AlteredEvent
_NARROWING = ("session", "run", "type", "standing", "since", "until")


class _Behind(NamedTuple):
    """The last event of a page: its bytes, its id, and how many of that id came before it.

    What was erased has no bytes, and all that was erased the same: it is found by its id, as what is erased meanwhile.
    """

    digest: bytes
    identity: bytes
    number: int


def log_page(reader: AuditReader, values: Values) -> Page[LogEntry]:
    """Return a page of a session's log, in append order; `NothingFoundError` where this reader sees no such session.

    Raises:
        QueryError: The cursor is not one for this, or an argument is wrong. Permanent.
        StorageError: As for `AuditReader.get_audit_log`.
    """
    limit: int = values["limit"]
    if values["cursor"] is None:
        found = _log(reader, values, limit + 1)
        return _page(reader, values, found, limit)
    behind = _cursors().open(values["cursor"], _walk(reader, values), _Behind)
    found = _log(reader, values, None)
    return _page(reader, values, found, limit, _place_of(behind, found) + 1)


def log_pages(reader: AuditReader, values: Values) -> Iterator[Page[LogEntry]]:
    """Yield the whole log of a session, or what is behind a cursor, as one page.

    Raises:
        QueryError, StorageError: As for `log_page`. Permanent or retriable as they are.
    """
    yield log_page(reader, {**values, "limit": 2**62})


def _log(reader: AuditReader, values: Values, limit: int | None) -> Sequence[LogEntry]:
    found: Sequence[LogEntry] = reader.get_audit_log(
        values["session"],
        run_id=values["run"],
        type=values["type"],
        standing=values["standing"] or None,
        since=values["since"],
        until=values["until"],
        limit=limit,
        on_altered="mark",
    )
    if not found and reader.outline(values["session"]).events == 0:
        raise NothingFoundError
    return found


def _page(
    reader: AuditReader, values: Values, found: Sequence[LogEntry], limit: int, start: int = 0
) -> Page[LogEntry]:
    end = start + limit
    goes_on = len(found) > end
    place = _behind(found, end - 1) if goes_on else ()
    return Page(
        items=tuple(found[start:end]),
        next=_cursors().seal(place, _walk(reader, values)) if goes_on else None,
    )


def _behind(found: Sequence[LogEntry], place: int) -> _Behind:
    """Return what finds the entry at *place* again."""
    identity = _identity(found[place])
    number = sum(_identity(each) == identity for each in found[:place])
    return _Behind(_digest(found[place]), identity, number)


def _place_of(behind: _Behind, found: Sequence[LogEntry]) -> int:
    """Return where the entry stands that *behind* names.

    Raises:
        QueryError: It is not there. Permanent.
    """
    # By its digest first, and not by its number: an event of its id may yet be stored before it.
    by_digest = [place for place, each in enumerate(found) if _digest(each) == behind.digest]
    if by_digest and found[by_digest[0]].record:
        return by_digest[0]
    of_id = [place for place, each in enumerate(found) if _identity(each) == behind.identity]
    if not of_id:
        raise QueryError(
            "cursor: the event that it stands behind is not there; begin again without a cursor"
        )
    return of_id[min(behind.number, len(of_id) - 1)]


def _walk(reader: AuditReader, values: Values) -> Walk:
    asked = {name: values[name] for name in _NARROWING}
    return Walk(
        query=f"log {msgspec.json.encode(asked, order='deterministic').decode()}",
        order="append",
        tenant_id=reader.tenant_id,
        principal=values["principal"],
    )


def _cursors() -> Cursors:
    return Cursors(ReaderConfig().secret_for(ClickHouseConfig()))


def _identity(entry: LogEntry) -> bytes:
    """Return what tells its id, whether its record was erased or not."""
    return sha256(f"{entry.tenant_id or ''}/{entry.event_id.lower()}".encode()).digest()


def _digest(entry: LogEntry) -> bytes:
    # Of two tenants the same bytes cannot be: the tenant stands in them.
    return sha256(entry.record).digest()
