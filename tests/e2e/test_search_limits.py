"""What a page does not hold is said: heavy and altered events, and what a budget did not reach."""

import datetime as dt
import hashlib
from decimal import Decimal

import msgspec
import pytest

from stored import Placed, a_session, event, store
from trailhouse.query import AuditReader, Condition, ReadBudget, SearchFilter, Words
from trailhouse.query.filtering.search_filter import MAX_CONDITIONS
from trailhouse.schemas.errors import StorageLimitError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

UTC = dt.UTC


def test_a_heavy_event_is_a_row_with_its_size_and_digest(database: ClickHouseConfig) -> None:
    """It does not weigh its page down, and nothing of it is cut silently; a page of many large ones ends early."""
    session = a_session()
    moment = dt.datetime(2026, 10, 1, tzinfo=UTC)
    heavy = event(session, occurred_at=moment, data={"text": "x" * 1_100_000})
    large = [
        event(session, occurred_at=moment, data={"text": str(place) * 900_000})
        for place in range(10)
    ]
    store(database, [Placed(each, 0, place) for place, each in enumerate([heavy, *large])])
    with AuditReader(config=database) as reader:
        first = reader.search()
        assert len(first.items) < 11
        assert first.next is not None
        items = [*first.items, *reader.search(cursor=first.next).items]
        assert len(items) == 11
        [row] = [each for each in items if each.event is None]
        assert row.record_bytes == len(heavy.record)
        assert row.record_sha256 == hashlib.sha256(heavy.record).hexdigest()
        assert (row.event_id, row.problem) == (heavy.event_id, None)


def test_a_row_that_was_altered_says_so_and_hides_none(database: ClickHouseConfig) -> None:
    """A forged record, a forged column, and a row whose record is gone: each is named, and the rest are events."""
    session = a_session()
    moment = dt.datetime(2026, 10, 1, tzinfo=UTC)
    events = [
        event(session, occurred_at=moment + dt.timedelta(seconds=place)) for place in range(4)
    ]
    store(database, [Placed(each, 0, place) for place, each in enumerate(events)])
    with ClickHouse(database) as clickhouse:
        now = "SETTINGS mutations_sync = 2"
        forged = f"ALTER TABLE event_log UPDATE record = concat(record, ' ') WHERE kafka_offset = 1 {now}"
        clickhouse.command(forged)
        clickhouse.command(
            "ALTER TABLE event_index UPDATE agent_id = 'somebody'"
            f" WHERE occurred_us % 60000000 = 2000000 {now}"
        )
        clickhouse.command(f"ALTER TABLE event_log DELETE WHERE kafka_offset = 3 {now}")
    with AuditReader(config=database) as reader:
        found = reader.search(newest_first=False).items
    assert [each.problem for each in found] == [
        None,
        "its record contradicts its hash",
        "its record contradicts the columns agent_id",
        "its record is not in the log; `trailhouse reconcile` compares all",
    ]
    assert [each.event for each in found] == [events[0], None, None, None]


def test_a_spent_budget_gives_a_part_and_the_way_on(database: ClickHouseConfig) -> None:
    """Never a bare failure: what was found, how far it looked, and a cursor; the walk misses nothing."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")
        clickhouse.command(
            "INSERT INTO event_log (session_id, event_id, record_key, type, occurred_us, record, kafka_offset)"
            " SELECT concat('s-', toString(intDiv(number, 100))), generateUUIDv4(number),"
            " substring(SHA256(toString(number)), 1, 16), if(number % 997 = 0, 'rare', 'message_sent'),"
            " 1770000000000000 + number * 60000000, '{}', number FROM numbers(200000)"
        )
    expected = {1_770_000_000_000_000 + number * 60_000_000 for number in range(0, 200_000, 997)}
    with AuditReader(config=database) as reader:
        page = reader.search("type:rare", limit=30, budget=ReadBudget(rows=40_000))
        pages = [page]
        while page.next is not None:
            page = reader.search(
                "type:rare", limit=30, cursor=page.next, budget=ReadBudget(rows=40_000)
            )
            pages.append(page)
        found = [
            int(each.occurred_at.timestamp() * 1_000_000) for page in pages for each in page.items
        ]
        assert found == sorted(expected, reverse=True)
        spent = reader.search("type:rare", limit=30, budget=ReadBudget(rows=1))
    assert (spent.items, spent.complete) == ((), False)
    assert [each.what for each in spent.left_out] == ["older events"]
    assert spent.searched_back_to is not None
    assert (spent.next, "rows=10" in spent.left_out[0].why) == (None, True)


def test_a_statement_never_outlasts_the_wait_for_it(database: ClickHouseConfig) -> None:
    """A budget above the wait for a statement is cut to it: ClickHouse gives up, and says so, before we do."""
    patient = msgspec.structs.replace(database, timeout_seconds=1.0)
    with (
        ClickHouse(patient) as clickhouse,
        pytest.raises(StorageLimitError, match="TIMEOUT_EXCEEDED"),
    ):
        clickhouse.query(
            "SELECT count() FROM numbers(100000000000) WHERE cityHash64(number) = 0",
            settings={"max_execution_time": "60"},
        )


def test_the_largest_filter_is_answered_or_cut_off_by_its_budget(
    database: ClickHouseConfig,
) -> None:
    """What a filter may hold at most travels to ClickHouse, whatever an address makes of it."""
    store(database, [Placed(event(a_session(), agent_id="é" * 80), 0, 0)])
    agents = tuple(f"{number:03}{'é' * 70}" for number in range(114))
    filters = (
        SearchFilter(conditions=(Condition(field="agent", values=agents, negated=True),)),
        SearchFilter(words=(Words(text="\n\x01" * 8_000, whole=True, negated=True),)),
        SearchFilter(
            conditions=tuple(
                Condition(field="cost", operator=">", values=(Decimal(number),), negated=True)
                for number in range(MAX_CONDITIONS)
            )
        ),
    )
    with AuditReader(config=database) as reader:
        for wanted in filters:
            assert len(reader.search(wanted, limit=1_000).items) == 1
            assert reader.count(wanted).value == 1
            assert len(reader.search(wanted, by="append").items) == 1
