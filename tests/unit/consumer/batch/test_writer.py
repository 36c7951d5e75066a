"""Writing a batch: which blocks go where and in which order, and what becomes of refused rows."""

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks import values_of
from kafka_records import batch_of
from trailhouse.broker.origin import ORIGIN_COLUMNS, Origin
from trailhouse.consumer.batch.rows import EVENT_COLUMNS, LEDGER_COLUMNS, QUARANTINE_COLUMNS
from trailhouse.consumer.batch.writer import MAX_REJECTED_ROWS, BatchWriter, Stored
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import (
    StorageDataError,
    StorageRejectedError,
    StorageUnavailableError,
)
from trailhouse.store import BATCH_LEDGER, EVENT_LOG, EVENT_QUARANTINE, Block

ORIGIN = Origin("cluster", "topic", "topic-id")
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EVENTS = [AuditEvent(type="a", session_id="s", run_id=str(number)).record for number in range(40)]


class Tables:
    """Keeps the blocks it is given; *refuse* may raise first."""

    def __init__(self, refuse: Callable[[Block], None] = lambda block: None) -> None:
        self._refuse = refuse
        self.blocks: list[Block] = []

    def insert(self, block: Block) -> None:
        self._refuse(block)
        self.blocks.append(block)

    def column(self, table: str, name: str) -> list[object]:
        """Return all values of a column, in the order they came."""
        return [
            value
            for block in self.blocks
            if block.table == table
            for value in values_of(block, name)
        ]


def writer(tables: Tables) -> BatchWriter:
    """Return a writer into *tables*."""
    return BatchWriter(tables, ORIGIN, lambda: NOW)


def refusing(*run_ids: str) -> Callable[[Block], None]:
    """Return what refuses every block that holds an event of these runs."""

    def refuse(block: Block) -> None:
        if block.table == "event_log" and set(run_ids) & set(values_of(block, "run_id")):
            raise StorageDataError("no", 469, "VIOLATED_CONSTRAINT")

    return refuse


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (EVENT_LOG, EVENT_COLUMNS),
        (EVENT_QUARANTINE, QUARANTINE_COLUMNS),
        (BATCH_LEDGER, LEDGER_COLUMNS),
    ],
    ids=["event_log", "event_quarantine", "batch_ledger"],
)
def test_rows_fill_every_column(table: object, columns: tuple[str, ...]) -> None:
    """The rows' columns and the origin's are exactly those of the table."""
    assert sorted((*columns, *ORIGIN_COLUMNS)) == sorted(getattr(table, "columns"))  # noqa: B009 - three types


def test_the_ledger_is_written_last() -> None:
    """Bad records go first, then events, then the ledger that vouches for both."""
    tables = Tables()
    assert writer(tables).write(batch_of([EVENTS[0], b"bad", EVENTS[1]])) == Stored(2, {0: 1})
    assert [block.table for block in tables.blocks] == [
        "event_quarantine",
        "event_log",
        "batch_ledger",
    ]
    assert tables.column("batch_ledger", "stored_rows") == [2]
    assert tables.column("batch_ledger", "quarantined_rows") == [1]
    assert tables.column("event_quarantine", "record") == [b"bad"]
    assert tables.column("event_quarantine", "headers") == [[("h", b"\xff"), ("n", None)]]
    assert tables.column("event_quarantine", "kafka_topic_id") == ["topic-id"]


@given(st.sets(st.integers(0, 39), max_size=6))
def test_refused_rows_are_found(guilty: set[int]) -> None:
    """Exactly the refused rows go to quarantine, byte for byte, whichever they are; the others are stored."""
    tables = Tables(refusing(*(str(number) for number in guilty)))
    assert writer(tables).write(batch_of(EVENTS)) == Stored(
        40 - len(guilty), {0: len(guilty)} if guilty else {}
    )
    assert set(tables.column("event_log", "record")) == {
        EVENTS[number] for number in range(40) if number not in guilty
    }
    assert tables.column("event_quarantine", "record") == [
        EVENTS[number] for number in sorted(guilty)
    ]
    assert tables.column("batch_ledger", "quarantined_rows") == [len(guilty)]


def test_a_value_that_cannot_be_encoded_is_one_bad_row() -> None:
    """An error of the encoder is the row's fault, not the batch's."""

    def refuse(block: Block) -> None:
        if block.table == "event_log" and "7" in values_of(block, "run_id"):
            raise OverflowError

    tables = Tables(refuse)
    assert writer(tables).write(batch_of(EVENTS)) == Stored(39, {0: 1})
    assert tables.column("event_quarantine", "reason") == [
        "record: cannot be stored (OverflowError)"
    ]


@pytest.mark.parametrize("name", ["UNKNOWN_TABLE", "ACCESS_DENIED", ""])
def test_a_wrong_table_is_no_rows_fault(name: str) -> None:
    """A refusal that no row is to blame for is passed on, and nothing is quarantined."""

    def refuse(block: Block) -> None:
        if block.table == "event_log":
            raise StorageRejectedError("no", 1, name)

    tables = Tables(refuse)
    with pytest.raises(StorageRejectedError):
        writer(tables).write(batch_of(EVENTS))
    assert tables.blocks == []


def test_when_every_row_is_refused_none_is_bad() -> None:
    """More than a few rows refused and none accepted is the table's fault, whatever ClickHouse calls it."""
    assert len(EVENTS) > MAX_REJECTED_ROWS
    tables = Tables(refusing(*(str(number) for number in range(40))))
    with pytest.raises(StorageRejectedError, match="refuses every row alike"):
        writer(tables).write(batch_of(EVENTS))
    assert tables.blocks == []


def test_a_row_that_is_refused_once_is_no_bad_row() -> None:
    """A refusal that does not come again, once another row was accepted, quarantines nothing."""
    refusals = iter([True] * 6)

    def refuse(block: Block) -> None:
        if (
            block.table == "event_log"
            and "7" in values_of(block, "run_id")
            and next(refusals, False)
        ):
            raise StorageDataError("no", 117, "INCORRECT_DATA")

    tables = Tables(refuse)
    assert writer(tables).write(batch_of(EVENTS)) == Stored(40)
    assert next(refusals, None) is None, "expected the row to be refused alone"
    assert set(tables.column("event_log", "record")) == set(EVENTS)
    assert tables.column("event_quarantine", "record") == []


def test_one_refused_row_alone_proves_nothing() -> None:
    """While no row was ever accepted, a refused one is kept; after one was, it is quarantined."""
    tables = Tables(refusing("7"))
    writes = writer(tables)
    with pytest.raises(StorageRejectedError, match="trailhouse skip"):
        writes.write(batch_of([EVENTS[7]]))
    assert tables.blocks == []
    writes.write(batch_of([EVENTS[8]]))
    assert writes.write(batch_of([EVENTS[7]])) == Stored(0, {0: 1})


def test_when_the_table_turns_wrong_nothing_more_is_bad() -> None:
    """Rows that the table took before are refused as well: then it is the table, however few rows it is."""
    is_wrong: list[bool] = []

    def refuse(block: Block) -> None:
        if block.table == "event_log" and is_wrong:
            raise StorageDataError("no", 53, "TYPE_MISMATCH")

    tables = Tables(refuse)
    writes = writer(tables)
    writes.write(batch_of(EVENTS[:3]))
    is_wrong.append(True)
    with pytest.raises(StorageDataError):
        writes.write(batch_of(EVENTS[3:5]))
    assert tables.column("event_quarantine", "record") == []


def test_an_unknown_outcome_is_passed_on() -> None:
    """StorageUnavailableError reaches the caller before the ledger vouches for anything."""

    def refuse(block: Block) -> None:
        if block.table == "event_log":
            raise StorageUnavailableError("away")

    tables = Tables(refuse)
    with pytest.raises(StorageUnavailableError):
        writer(tables).write(batch_of([*EVENTS, b"bad"]))
    assert [block.table for block in tables.blocks] == ["event_quarantine"]
