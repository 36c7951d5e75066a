"""Rows that were altered in ClickHouse: found out by the reader, and no hindrance to the others."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from stored import a_session, event, in_order, store
from trailhouse.query import AlteredEvent, AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import (
    IntegrityError,
)
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster


@pytest.fixture
def reader(database: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants over a fresh database."""
    with AuditReader(config=database) as opened:
        yield opened


def alter(database: ClickHouseConfig, assignment: str, altered: AuditEvent) -> None:
    """Change the row of one event in place, as whoever may write to ClickHouse can."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            f"ALTER TABLE event_log UPDATE {assignment} WHERE event_id = {{id:UUID}}"
            " SETTINGS mutations_sync = 2",
            {"id": altered.event_id},
        )


def test_an_altered_record_is_found_out(reader: AuditReader, database: ClickHouseConfig) -> None:
    """A row changed in place contradicts its hash; the error names session and event."""
    session = a_session()
    emitted = [event(session, data={"amount": amount}) for amount in (100, 200)]
    store(database, in_order(emitted))
    alter(database, "record = replaceOne(record, '\"amount\":200', '\"amount\":999')", emitted[1])
    with pytest.raises(
        IntegrityError, match=f"{session}.*{emitted[1].event_id}.*contradicts its hash"
    ):
        reader.get_audit_log(session)
    assert reader.get_audit_log(session, limit=1) == emitted[:1]


@pytest.mark.parametrize("limit", [None, 3], ids=["whole", "a part"])
def test_an_altered_row_hides_no_other(
    reader: AuditReader, database: ClickHouseConfig, limit: int | None
) -> None:
    """Marked, it stands in its own place, and the others are events as ever."""
    session = a_session()
    emitted = [event(session, data={"amount": amount}) for amount in (100, 200, 300)]
    store(database, in_order(emitted))
    alter(database, "record = 'no event'", emitted[1])
    first, altered, last = reader.get_audit_log(session, on_altered="mark", limit=limit)
    assert [first, last] == [emitted[0], emitted[2]]
    assert isinstance(altered, AlteredEvent)
    assert (altered.session_id, altered.event_id) == (session, emitted[1].event_id)
    assert altered.record == b"no event"
    assert altered.reason == "its record contradicts its hash"


def test_a_row_under_another_tenant_run_or_time_is_found_out(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """What a row's columns claim, and its record denies, answers no question as if it were true."""
    session, elsewhere = a_session(), a_session()
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    mine = event(session, run_id="r", tenant_id="a", occurred_at=moment)
    theirs = event(session, run_id="q", tenant_id="b", occurred_at=moment)
    stranger = event(elsewhere, run_id="r", tenant_id="a", occurred_at=moment)
    store(database, in_order([mine, theirs, stranger]))
    claims = f"'{session}' AS session_id, 'a' AS tenant_id, 'r' AS run_id, 'forged' AS type"
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            f"INSERT INTO event_log SELECT * REPLACE ({claims}) FROM event_log WHERE event_id != {{id:UUID}}",
            {"id": mine.event_id},
        )
    with AuditReader("a", config=database) as bound:
        questions: list[dict[str, Any]]
        questions = [{}, {"run_id": "r"}, {"type": ["forged", "message_sent"]}]
        for asked in questions:
            with pytest.raises(IntegrityError, match="contradicts the columns"):
                bound.get_audit_log(session, **asked)
            found = bound.get_audit_log(session, on_altered="mark", **asked)
            assert [each for each in found if isinstance(each, AuditEvent)] == [mine]
            assert {
                each.reason.rpartition("columns ")[2]
                for each in found
                if isinstance(each, AlteredEvent)
            } == {"tenant_id, type, run_id", "session_id, type"}


def test_a_second_row_of_one_record_is_found_out(
    reader: AuditReader, database: ClickHouseConfig
) -> None:
    """A copy under another time would never be merged: it is marked, and the event seen once."""
    session = a_session()
    emitted = [event(session) for _ in range(3)]
    store(database, in_order(emitted))
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            "INSERT INTO event_log SELECT * REPLACE (occurred_us + 1 AS occurred_us) FROM event_log"
            " WHERE event_id = {id:UUID}",
            {"id": emitted[1].event_id},
        )
    found = reader.get_audit_log(session, on_altered="mark")
    assert [each for each in found if isinstance(each, AuditEvent)] == emitted
    [altered] = [each for each in found if isinstance(each, AlteredEvent)]
    assert altered.reason == "its record contradicts the columns occurred_us"
    with pytest.raises(IntegrityError, match="1 of 4 rows altered"):
        reader.get_audit_log(session)
