"""The store against the real engine: what is inserted is there, whole and once."""

import datetime as dt
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stored import Placed, block_of, count, in_order, some_events
from trailhouse.schemas import AuditEvent, Source
from trailhouse.store import (
    BATCH_LEDGER,
    EVENT_LOG,
    EVENT_QUARANTINE,
    Block,
    ClickHouse,
    ClickHouseConfig,
    Table,
)
from trailhouse.store.tables import EVENT_INCIDENTS

pytestmark = pytest.mark.cluster

ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a fresh database that has every table."""
    with ClickHouse(database) as clickhouse:
        yield clickhouse


@pytest.mark.parametrize(
    "table",
    [EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER, EVENT_INCIDENTS],
    ids=lambda table: table.name,
)
def test_the_columns_we_write_are_those_of_the_tables(store: ClickHouse, table: Table) -> None:
    """`tables.py` and the migrations say the same."""
    found = store.query(
        "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
        " AND default_kind IN ('', 'DEFAULT') ORDER BY position",
        {"database": store.config.database, "table": table.name},
    )
    assert [(name, kind) for name, kind in found.rows] == list(table.columns.items())


def test_an_acknowledged_row_is_on_the_disk(store: ClickHouse) -> None:
    """Every table that the worker writes is synced before an insert is acknowledged."""
    for table in (EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER, EVENT_INCIDENTS):
        sql = store.query(
            "SELECT create_table_query FROM system.tables WHERE database = {database:String} AND name = {table:String}",
            {"database": store.config.database, "table": table.name},
        ).rows[0][0]
        assert "fsync_after_insert = 1" in sql, table.name
        assert "fsync_part_directory = 1" in sql, table.name


def test_a_small_part_is_one_file_and_a_merge_is_synced(store: ClickHouse) -> None:
    """An insert syncs one file, and what takes the place of synced parts is synced before they go."""

    def synced() -> int:
        found = store.query("SELECT sum(value) FROM system.events WHERE event = 'FileSync'")
        return int(found.rows[0][0])

    def parts() -> list[tuple[Any, ...]]:
        return store.query(
            "SELECT part_storage_type, level > 0 FROM system.parts WHERE database = currentDatabase()"
            " AND table = 'event_log' AND active"
        ).rows

    store.command("SYSTEM STOP MERGES event_log")
    for event in some_events(2):
        store.insert(block_of(in_order([event])))
    assert parts() == [("Packed", 0), ("Packed", 0)]
    before = synced()
    store.command("SYSTEM START MERGES event_log")
    store.command("OPTIMIZE TABLE event_log FINAL")
    assert parts() == [("Packed", 1)]
    assert synced() > before


def test_a_column_that_a_block_does_not_have_gets_its_default(store: ClickHouse) -> None:
    """A worker that is older than the table writes what the table works out for the columns it does not know."""
    table = Table(
        EVENT_LOG.name,
        {
            name: kind
            for name, kind in EVENT_LOG.columns.items()
            if name not in ("producer_id", "seq")
        },
    )
    source = Source(host="h", pid=1, producer_id="producer-1", seq=7, service="s")
    [event] = some_events(1, source=source)
    whole = block_of(in_order([event]))
    columns = dict(zip(whole.names, whole.columns, strict=True))
    store.insert(table.block({name: columns[name] for name in table.columns}))
    [[producer_id, seq, ver]] = store.query("SELECT producer_id, seq, ver FROM event_log").rows
    assert (producer_id, seq) == ("producer-1", 7)
    assert ver > 0


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROWS: dict[str, st.SearchStrategy[Any]] = {
    "session_id": texts,
    "tenant_id": texts,
    "event_id": st.uuids().map(str),
    "record_key": st.binary(min_size=16, max_size=16),
    "occurred_us": st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    "model": texts,
    "input_tokens": st.none() | st.integers(0, 2**64 - 1),
    "cost_usd": st.none()
    | st.integers(-(10**38) + 1, 10**38 - 1).map(lambda ticks: Decimal(f"{ticks}E-18")),
    "duration_ms": st.none() | st.floats(allow_nan=False),
    "schema_version": st.integers(0, 65_535),
    "record": st.binary(max_size=300),
    "kafka_offset": st.integers(0, 2**64 - 1),
    "appended_at": st.integers(0, 10_413_791_999_999),
}


def blanks(table: Table, rows: int, given_columns: dict[str, list[Any]]) -> Block:
    """Return a block with *given_columns*, and nothing in the others."""
    columns: dict[str, Sequence[Any]] = {}
    for name, kind in table.columns.items():
        columns[name] = given_columns.get(name, [_blank(kind)] * rows)
    return table.block(columns)


def _blank(kind: str) -> Any:
    if kind.startswith("Nullable"):
        return None
    if fixed := re.fullmatch(r"FixedString\((\d+)\)", kind):
        return bytes(int(fixed[1]))
    return "" if "String" in kind else 0


@ON_ONE_DATABASE
@given(
    rows=st.lists(
        st.fixed_dictionaries(ROWS), min_size=1, max_size=30, unique_by=lambda row: row["event_id"]
    )
)
def test_every_value_comes_back_as_it_was_written(
    store: ClickHouse, rows: list[dict[str, Any]]
) -> None:
    """Any text, any bytes, any number in the range of its column, absent values too."""
    store.command("TRUNCATE TABLE event_log")
    store.insert(blanks(EVENT_LOG, len(rows), {name: [row[name] for row in rows] for name in ROWS}))
    found = store.query(f"SELECT {', '.join(ROWS)} FROM event_log", bytes_columns=["record"])
    stored = {row[2]: dict(zip(found.names, row, strict=True)) for row in found.rows}
    for row in rows:
        milliseconds = dt.timedelta(milliseconds=row["appended_at"])
        expected = row | {"appended_at": dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + milliseconds}
        assert stored[row["event_id"]] == expected
    assert len(stored) == len(rows)


@ON_ONE_DATABASE
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "key": st.none() | st.binary(max_size=50),
                "record": st.none() | st.binary(max_size=300),
                "headers": st.lists(
                    st.tuples(texts, st.none() | st.binary(max_size=20)), max_size=4
                ),
                "reason": texts,
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_quarantined_record_keeps_every_byte(
    store: ClickHouse, rows: list[dict[str, Any]]
) -> None:
    """Key, record and headers come back byte for byte, and an absent one is told from an empty one."""
    store.command("TRUNCATE TABLE event_quarantine")
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    store.insert(
        blanks(EVENT_QUARANTINE, len(rows), columns | {"kafka_offset": list(range(len(rows)))})
    )
    found = store.query(
        "SELECT key, record, reason, arrayMap(h -> hex(h.1), headers), arrayMap(h -> hex(h.2), headers)"
        " FROM quarantine ORDER BY kafka_offset",
        bytes_columns=["key", "record"],
    )
    for row, (key, record, reason, names, values) in zip(rows, found.rows, strict=True):
        assert (key, record, reason) == (row["key"], row["record"], row["reason"])
        assert [bytes.fromhex(name).decode() for name in names] == [
            name for name, _ in row["headers"]
        ]
        assert [None if value is None else bytes.fromhex(value) for value in values] == [
            value for _, value in row["headers"]
        ]


def test_wild_clocks_make_few_partitions(store: ClickHouse) -> None:
    """Times of 840 months and the two ends of time are one insert, and 13 parts at most."""
    moments = [
        dt.datetime(year, month, 15, tzinfo=dt.UTC)
        for year in range(1990, 2060)
        for month in range(1, 13)
    ]
    moments += [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)]
    store.insert(
        block_of(
            [
                Placed(AuditEvent(type="x", session_id="s", occurred_at=moment), offset=place)
                for place, moment in enumerate(moments)
            ]
        )
    )
    assert count(store, "events") == len(moments)
    parts = store.query(
        "SELECT count(), uniqExact(partition) FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'event_log' AND active"
    )
    assert parts.rows == [(13, 13)]


def test_a_block_is_one_part_of_its_year(store: ClickHouse) -> None:
    """However fat, a block of one year is stored whole or not at all."""
    moment = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    store.command("SYSTEM STOP MERGES event_log")
    fat = [
        AuditEvent(
            type="x",
            session_id="s",
            occurred_at=moment,
            data={"text": "x" * 100_000, "place": place},
        )
        for place in range(400)
    ]
    store.insert(block_of(in_order(fat)))
    parts = store.query(
        "SELECT count() FROM system.parts WHERE database = {database:String} AND table = 'event_log' AND active",
        {"database": store.config.database},
    )
    assert parts.rows == [(1,)]


def test_a_repeated_block_is_seen_once(store: ClickHouse) -> None:
    """To repeat an insert of unknown outcome is harmless, merged or not."""
    block = block_of(in_order(some_events(50)))
    for _ in range(3):
        store.insert(block)
    assert count(store, "events") == 50
    store.command("OPTIMIZE TABLE event_log FINAL")
    assert count(store, "event_log") == 50


def test_of_two_copies_the_first_appended_is_seen(store: ClickHouse) -> None:
    """A producer's resend, stored first or last, does not move the event."""
    event = some_events(1)[0]
    first, second = (
        Placed(event, offset=7, appended_ms=1_760_000_000_000),
        Placed(event, offset=9, appended_ms=1_760_000_000_001),
    )
    for copies in ([first, second], [second, first]):
        store.command("TRUNCATE TABLE event_log")
        for copy in copies:
            store.insert(block_of([copy]))
        assert store.query("SELECT kafka_offset FROM events").rows == [(7,)]


def test_a_condition_does_not_choose_among_copies(store: ClickHouse) -> None:
    """What is asked about offset or time is asked of the copy that readers see."""
    event = some_events(1)[0]
    for offset, appended_ms in ((7, 1_760_000_000_000), (9, 1_760_000_000_001)):
        store.insert(block_of([Placed(event, offset=offset, appended_ms=appended_ms)]))
    for condition, expected in (
        ("kafka_offset = 9", 0),
        ("kafka_offset = 7", 1),
        ("appended_at > fromUnixTimestamp64Milli(1760000000000)", 0),
        ("kafka_offset != 7 AND type = {type:String}", 0),
    ):
        found = store.query(f"SELECT count() FROM events WHERE {condition}", {"type": event.type})
        assert found.rows == [(expected,)], condition


def test_copies_within_a_block_are_seen_once(store: ClickHouse) -> None:
    """An insert does not spend time on looking for copies in its own block; readers never see them."""
    event = some_events(1)[0]
    copies = [
        Placed(event, offset=7 + number, appended_ms=1_760_000_000_000 + number)
        for number in range(3)
    ]
    for block in (copies, copies[::-1]):
        store.command("TRUNCATE TABLE event_log")
        store.command("SYSTEM STOP MERGES event_log")  # rows this old are soon recompressed
        store.insert(block_of(block))
        assert count(store, "event_log") == 3, "the insert is expected to merge nothing"
        assert store.query("SELECT kafka_offset FROM events").rows == [(7,)]
        store.command("SYSTEM START MERGES event_log")
        store.command("OPTIMIZE TABLE event_log FINAL")
        assert store.query("SELECT kafka_offset FROM event_log").rows == [(7,)]


def test_years_at_rest_are_read_without_merging(store: ClickHouse) -> None:
    """Totals over merged years cost no FINAL, since copies of a record never lie in two years."""
    for year in (2025, 2026, 2027):
        moment = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        for first_offset in (0, 10):
            store.insert(block_of(in_order(some_events(10, occurred_at=moment), first_offset)))

    def merges() -> bool:
        plan = store.query("EXPLAIN PIPELINE SELECT type, count() FROM events GROUP BY type").rows
        return any("Replacing" in line for (line,) in plan)

    assert merges(), "years of several parts need merging"
    store.command("OPTIMIZE TABLE event_log FINAL")
    assert not merges()
    assert count(store, "events") == 60


@pytest.mark.parametrize(("age_hours", "codec"), [(0, "ZSTD(1)"), (2, "ZSTD(6)")])
def test_what_is_an_hour_old_is_compressed_well(
    store: ClickHouse, age_hours: int, codec: str
) -> None:
    """A merge of new rows stays cheap; the one that finds them older than an hour spends more on their records."""
    appended_ms = time.time_ns() // 1_000_000 - age_hours * 3_600_000
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    placed = in_order(some_events(10, occurred_at=moment))
    for each in placed:
        store.insert(block_of([each._replace(appended_ms=appended_ms)]))
    store.command("OPTIMIZE TABLE event_log FINAL")
    codecs = store.query(
        "SELECT default_compression_codec FROM system.parts"
        " WHERE database = currentDatabase() AND table = 'event_log' AND active"
    ).rows
    assert codecs == [(codec,)]


def test_an_empty_block_is_no_statement(clickhouse: ClickHouseConfig) -> None:
    """Nothing to insert needs no ClickHouse."""
    nowhere = msgspec.structs.replace(clickhouse, url="http://127.0.0.1:9")
    ClickHouse(nowhere).insert(block_of([]))


def test_a_connection_is_shared_between_threads(store: ClickHouse) -> None:
    """Sixteen threads insert and ask over one connection at the same time."""

    def work(number: int) -> int:
        store.insert(
            block_of(
                in_order(
                    [AuditEvent(type="x", session_id=f"s{number}") for _ in range(10)], number * 10
                )
            )
        )
        return int(
            store.query(
                "SELECT count() FROM events WHERE session_id = {s:String}", {"s": f"s{number}"}
            ).rows[0][0]
        )

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(48))) == [10] * 48
    assert count(store, "events") == 480
