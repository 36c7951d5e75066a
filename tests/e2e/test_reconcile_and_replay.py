"""`trailhouse reconcile` and `trailhouse replay`: every gap is named, and mended without a duplicate."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pytest

from balancing import Pipe, numbered, run_here
from command_line import settings_of
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.operate.account.balance import account
from trailhouse.operate.reconcile.comparison import Gap, Reconciliation, reconcile
from trailhouse.operate.replay.plan import OffsetRef, wanted_ranges
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.ranges import Range
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.tables import EVENT_INCIDENTS

pytestmark = pytest.mark.cluster
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def pipe(kafka: KafkaConfig, database: ClickHouseConfig) -> Pipe:
    """Return a fresh topic and a fresh database."""
    return Pipe(kafka, database)


def records(count: int, session_id: str = "s") -> list[bytes]:
    """Return the records of different events."""
    return [
        AuditEvent(type="a", session_id=session_id, data={"number": number}).record
        for number in range(count)
    ]


def compared(pipe: Pipe, since: dt.datetime | None = None) -> Reconciliation:
    """Return what a reconciliation finds."""
    with ClickHouse(pipe.database) as storage:
        return reconcile(pipe.kafka, storage, pipe.group_id, since=since)


def shape(gaps: tuple[Gap, ...]) -> list[tuple[str, int, int, int]]:
    """Return what the gaps are and where."""
    return [(gap.kind, gap.partition, gap.first_offset, gap.last_offset) for gap in gaps]


def visible(pipe: Pipe) -> list[tuple[Any, ...]]:
    """Return place and record of everything that readers see."""
    with ClickHouse(pipe.database) as storage:
        sql = "SELECT kafka_partition, kafka_offset, record FROM events ORDER BY ALL"
        return storage.query(sql, bytes_columns=("record",)).rows


def test_a_whole_pipeline_has_no_gap(pipe: Pipe) -> None:
    """Everything committed is stored or quarantined: no gap, and what is not committed is none."""
    pipe.send([*records(30), b"no event", None, *records(5)])
    pipe.send(records(7), partition=1)
    pipe.store(0, 0, 34)
    pipe.commit({0: 35})
    found = compared(pipe)
    assert found.gaps == ()
    first = found.partitions[0]
    assert (first.checked_offsets, first.elsewhere, first.ledger_end) == (35, 0, 35)


@pytest.mark.long
def test_every_kind_of_gap_is_named_and_replay_mends_it(pipe: Pipe) -> None:
    """Never stored, stored without a ledger row, counted but gone: each has its place, kind and way out."""
    pipe.send(records(100))
    pipe.store(0, 0, 39)
    pipe.store(0, 60, 99)
    pipe.commit({0: 100})
    with ClickHouse(pipe.database) as storage:
        storage.command("DELETE FROM event_log WHERE kafka_offset IN (7, 8, 70)")
        storage.command("DELETE FROM batch_ledger WHERE first_offset = 60")
    found = compared(pipe)
    assert shape(found.gaps) == [
        ("missing", 0, 7, 8),
        ("missing", 0, 40, 59),
        ("unledgered", 0, 60, 69),
        ("missing", 0, 70, 70),
        ("unledgered", 0, 71, 99),
    ]
    assert found.gaps[0].way_out == "trailhouse replay --from 0:7 --to 0:8"
    settings = settings_of(pipe.kafka, pipe.database)
    told = run_here("reconcile", settings=settings)
    assert told.returncode == 1
    assert b"gap: partition 0, offsets 40 to 59: committed, but in no batch" in told.stdout
    assert told.stdout.endswith(
        f"5 gaps in topic {pipe.kafka.topic}, group {pipe.group_id}\n".encode()
    )
    for gap in found.gaps:
        mended = run_here(*gap.way_out.split()[1:], "--format", "json", settings=settings)
        assert mended.returncode == 0, mended
        is_missing = gap.kind == "missing"
        size = gap.last_offset - gap.first_offset + 1
        assert json.loads(mended.stdout)["new_events"] == (size if is_missing else 0)
    assert compared(pipe).gaps == ()
    assert [row[1] for row in visible(pipe)] == list(range(100))


def test_a_record_that_was_sent_twice_is_no_gap(pipe: Pipe) -> None:
    """After a resend only the first copy has a row in the end; the other's offset is accounted for."""
    once = records(20)
    pipe.send([*once, *once[5:15]])
    pipe.store(0, 0, 29)
    pipe.commit({0: 30})
    with ClickHouse(pipe.database) as storage:
        storage.command("OPTIMIZE TABLE event_log FINAL")
        assert storage.query("SELECT count() FROM event_log").rows == [(20,)]
    found = compared(pipe)
    assert found.gaps == ()
    assert found.partitions[0].elsewhere == 10


def test_a_committed_offset_beyond_the_log_is_named(pipe: Pipe) -> None:
    """An offset that the log never had was committed for another topic: named, and code 1."""
    pipe.send(records(3))
    pipe.store(0, 0, 2)
    pipe.commit({0: 50})
    assert shape(compared(pipe).gaps) == [("ahead", 0, 3, 49)]


def test_what_expired_stays_named(pipe: Pipe) -> None:
    """An incident's offsets are a gap unless a batch holds them; an earlier topic is a note."""
    pipe.send(records(10))
    pipe.store(0, 0, 9)
    pipe.commit({0: 10})
    origin = pipe.origin()
    row: dict[str, Sequence[object]] = {
        "kafka_cluster": [origin.cluster] * 2,
        "kafka_topic": [origin.topic] * 2,
        "kafka_topic_id": [origin.topic_id] * 2,
        "kafka_partition": [0, 1],
        "first_offset": [5, 100],
        "last_offset": [9, 199],
        "kind": ["expired"] * 2,
        "detail": [""] * 2,
        "worker_version": ["0"] * 2,
        "noticed_at": [1_760_000_000_000] * 2,
    }
    with ClickHouse(pipe.database) as storage:
        storage.insert(EVENT_INCIDENTS.block(row))
        storage.command(
            "INSERT INTO batch_ledger SELECT * REPLACE ('another' AS kafka_topic_id) FROM batch_ledger"
        )
    found = compared(pipe)
    assert shape(found.gaps) == [("expired", 1, 100, 199)]
    assert ["id another" in note for note in found.notes] == [True]
    assert compared(pipe, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).gaps == ()


def test_what_kafka_deleted_before_it_was_stored_is_named(pipe: Pipe) -> None:
    """Behind the ledger's end and between two batches: gone from Kafka, in no table, so it expired."""
    pipe.send(numbered("p", range(30)))
    pipe.store(0, 0, 9)
    pipe.store(0, 15, 19)
    pipe.commit({0: 20})
    pipe.delete_before(0, 25)
    found = compared(pipe)
    assert shape(found.gaps) == [("expired", 0, 10, 14), ("expired", 0, 20, 24)]
    with ClickHouse(pipe.database) as storage:
        balance = account(pipe.kafka, storage, pipe.group_id, settle_seconds=0.01)
    assert (balance.emitted, balance.in_kafka, balance.stored) == (30, 5, 15)
    assert (balance.expired, balance.missing) == (5, 5)


def test_what_expired_before_anybody_read_it_is_named(pipe: Pipe) -> None:
    """A partition without a commit and without a batch has lost what Kafka's log no longer begins with."""
    pipe.send(numbered("p", range(30)))
    pipe.send(numbered("p", range(30, 31)), partition=1)
    pipe.store(1, 0, 0)
    pipe.commit({1: 1})
    pipe.delete_before(0, 30)
    assert shape(compared(pipe).gaps) == [("expired", 0, 0, 29)]
    with ClickHouse(pipe.database) as storage:
        balance = account(pipe.kafka, storage, pipe.group_id, settle_seconds=0.01)
    assert (balance.emitted, balance.expired, balance.missing) == (31, 30, 0)


def test_replay_of_everything_changes_nothing_that_readers_see(pipe: Pipe) -> None:
    """The whole topic once more: the same rows from the same places, and no record anew."""
    pipe.send([*records(50), b"bad"])
    pipe.send(records(20, "t"), partition=3)
    pipe.store(0, 0, 50)
    pipe.store(3, 0, 19)
    before = visible(pipe)
    settings = settings_of(pipe.kafka, pipe.database)
    done = run_here("replay", settings=settings)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (
        b"71 records replayed: 70 events (0 were not there), 1 quarantined (0 were not there)\n"
    )
    assert visible(pipe) == before


def test_a_range_is_inclusive_and_cut_to_the_log(pipe: Pipe) -> None:
    """Places, times and a partition mean what they say; what contradicts itself is refused."""
    pipe.send(records(10))
    pipe.send(records(4), partition=2)
    marks = KafkaAdmin(pipe.kafka).lag(pipe.group_id)
    early, late = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2020, 2100))
    with TopicReader(pipe.kafka) as reader:
        assert wanted_ranges(reader, marks) == {0: Range(0, 9), 2: Range(0, 3)}
        assert wanted_ranges(reader, marks, begin=OffsetRef(0, 3), end=OffsetRef(0, 5)) == {
            0: Range(3, 5)
        }
        assert wanted_ranges(reader, marks, begin=OffsetRef(0, 8), end=OffsetRef(0, 99)) == {
            0: Range(8, 9)
        }
        assert wanted_ranges(reader, marks, begin=early, end=late, partition=2) == {2: Range(0, 3)}
        assert wanted_ranges(reader, marks, begin=late) == {}
        assert wanted_ranges(reader, marks, end=early) == {}
        with pytest.raises(QueryError, match="one range lies in one partition, got 0 and 1"):
            wanted_ranges(reader, marks, begin=OffsetRef(0, 1), end=OffsetRef(1, 2))
        with pytest.raises(QueryError, match="there is no 4"):
            wanted_ranges(reader, marks, partition=4)


@pytest.mark.parametrize(
    ("command", "away", "named"),
    [
        ("reconcile", {"KAFKA_BOOTSTRAP_SERVERS": NOWHERE}, f"Kafka at {NOWHERE} does not answer"),
        ("reconcile", {"CLICKHOUSE_URL": f"http://{NOWHERE}"}, f"ClickHouse at http://{NOWHERE}"),
        ("replay", {"CLICKHOUSE_URL": f"http://{NOWHERE}"}, f"ClickHouse at http://{NOWHERE}"),
        ("replay", {"KAFKA_TOPIC": "missing"}, "has no topic missing: run `trailhouse init`"),
        ("reconcile", {"CLICKHOUSE_DATABASE": "missing"}, "run `trailhouse init`"),
    ],
)
def test_a_part_that_is_away_is_one_line(
    pipe: Pipe, command: str, away: dict[str, str], named: str
) -> None:
    """What does not answer, or is not there, is named in one line with the way out."""
    settings = {f"TRAILHOUSE_{name}": value for name, value in away.items()}
    result = run_here(command, settings=settings_of(pipe.kafka, pipe.database) | settings)
    assert result.returncode == 1, result
    (line,) = result.stderr.decode().splitlines()
    assert named in line


def test_what_is_stored_meanwhile_is_no_loss(pipe: Pipe) -> None:
    """The ledger is read after the log's end: what came between is not taken for records that Kafka lost."""
    pipe.send(records(10)[:5])
    pipe.store(0, 0, 4)
    pipe.commit(dict.fromkeys(range(4), 0) | {0: 5})

    def go_on_meanwhile(step: str) -> None:
        if step == "reading the ledger":
            pipe.send(records(10)[5:])
            pipe.store(0, 5, 9)

    with ClickHouse(pipe.database) as storage:
        found = reconcile(pipe.kafka, storage, pipe.group_id, report=go_on_meanwhile)
    assert (found.gaps, found.notes) == ((), ())
