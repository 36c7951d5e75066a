"""`trailhouse reconcile --deep` and `--hashes`: what a row, a batch or a column claims is held against the bytes."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pytest

from balancing import Pipe, run_here
from command_line import settings_of
from trailhouse.operate.reconcile import deep as reconcile_deep
from trailhouse.operate.reconcile import ledger_hashes, row_hashes
from trailhouse.operate.reconcile.comparison import Reconciliation, reconcile
from trailhouse.operate.reconcile.derived_columns import DERIVED_COLUMNS, Contradiction
from trailhouse.operate.reconcile.row_hashes import HashCheck, check_hashes
from trailhouse.schemas import Actor, AuditEvent, KafkaConfig
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.record import Source
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

NOWHERE = "127.0.0.1:1"
FORGED = {
    "session_id": "'forged'", "tenant_id": "'forged'", "event_id": "generateUUIDv4()", "type": "'forged'",
    "run_id": "'forged'", "parent_run_id": "'forged'", "agent_id": "'forged'", "occurred_us": "occurred_us + 1",
    "actor_type": "'forged'", "actor_id": "'forged'", "provider": "'forged'", "correlation_id": "'forged'",
    "trace_id": "'forged'", "producer_id": "'forged'", "seq": "77", "model": "'forged'", "tool_name": "'forged'",
    "tool_call_id": "'forged'", "error_code": "'forged'",
    "input_tokens": "1", "output_tokens": "NULL", "total_tokens": "1", "cost_usd": "0.5", "duration_ms": "1",
    "schema_version": "7",
}  # fmt: skip
"""A false value for each column that follows from a record."""


@pytest.fixture
def pipe(kafka: KafkaConfig, database: ClickHouseConfig) -> Pipe:
    """Return a fresh topic and a fresh database."""
    return Pipe(kafka, database)


def records(count: int, session_id: str = "s") -> list[bytes]:
    """Return the records of different events that fill every column."""
    return [
        AuditEvent(
            type="model_call_completed", session_id=session_id, tenant_id="t", run_id="r", parent_run_id="q",
            agent_id="a", actor=Actor(type="user", id="u"), provider="p", correlation_id="c", trace_id="t",
            source=Source(service="s", host="h", pid=1, producer_id="p", seq=number),
            data={"model": "m", "tool_name": "t", "tool_call_id": "c", "error_code": 404,
                  "token_usage": {"input_tokens": number + 9, "output_tokens": 8, "total_tokens": 17},
                  "cost_usd": 0.1, "duration_ms": 12.5, "number": number},
        ).record
        for number in range(count)
    ]  # fmt: skip


def spellings() -> list[bytes]:
    """Return records whose values ClickHouse and we may read differently; all are events."""
    head = '"event_id":"01900000-0000-7000-8000-00000000BBBB","session_id":"\\u00e9\\"\\u0000","type":"a"'
    odd: list[dict[str, Any]] = [
        {"model": 5, "error_code": 10**30, "input_tokens": 5.0, "cost_usd": "1e-7"},
        {"model": None, "token_usage": {"model": "m", "cost_usd": -0.0, "duration_ms": 10**18}},
        {"token_usage": "none", "total_tokens": -1, "output_tokens": 2**64, "duration_ms": "5"},
        {"cost_usd": 12345678901234567890, "tool_name": "\u2028\ud7ff", "input_tokens": True},
    ]
    moments = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.5Z", "1969-12-31T23:59:59.999999+01:00")
    spelled = [f'{{{head},"occurred_at":"{moment}","data":{{}}}}'.encode() for moment in moments]
    return spelled + [AuditEvent(type="b", session_id="s", data=data).record for data in odd]


def compared(pipe: Pipe, partitions: Sequence[int] = ()) -> Reconciliation:
    """Return what a comparison of bytes finds."""
    with ClickHouse(pipe.database) as storage:
        return reconcile(pipe.kafka, storage, pipe.group_id, partitions=partitions, is_deep=True)


def hashed(pipe: Pipe) -> HashCheck:
    """Return what is found in the table alone."""
    with ClickHouse(pipe.database) as storage:
        return check_hashes(storage)


def named(found: Reconciliation) -> list[tuple[str, int, int]]:
    """Return kind and offsets of every contradiction."""
    assert found.deep is not None
    assert found.deep.contradictions == len(found.deep.named)
    return sorted((each.kind, each.first_offset, each.last_offset) for each in found.deep.named)


def contradictions(found: Reconciliation) -> tuple[Contradiction, ...]:
    """Return every contradiction."""
    assert found.deep is not None
    return found.deep.named


def copied(table: str, replaced: str, condition: str) -> str:
    """Return the statement that inserts rows again, with some values replaced."""
    return f"INSERT INTO {table} SELECT * REPLACE ({replaced}) FROM (SELECT * FROM {table} WHERE {condition})"


def command(pipe: Pipe, *statements: str) -> None:
    """Run statements, as whoever may write to ClickHouse can."""
    with ClickHouse(pipe.database) as storage:
        for statement in statements:
            storage.command(statement)


def forge(pipe: Pipe, replaced: str, condition: str) -> None:
    """Put a forged row beside an honest one, and have a merge decide between them where it can."""
    command(
        pipe,
        copied("event_log", replaced, condition),
        "OPTIMIZE TABLE event_log FINAL",
    )


def stored(pipe: Pipe, wanted: Sequence[bytes | None]) -> None:
    """Send, store and commit records in one partition."""
    pipe.send(wanted)
    pipe.store(0, 0, len(wanted) - 1)
    pipe.commit({0: len(wanted)})


def test_what_is_as_it_was_contradicts_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd spellings, bad records, records sent twice, batches replayed across each other: all is in order."""
    monkeypatch.setattr(reconcile_deep, "WINDOW_RECORDS", 7)
    once = records(20)
    wanted = [*once, *spellings(), b"no event", None, *once[5:9]]
    pipe.send(wanted)
    pipe.send(records(9, "t"), partition=1)
    pipe.store(0, 0, len(wanted) - 1)
    pipe.store(0, 3, 11)
    pipe.store(0, 9, 25)
    pipe.store(1, 0, 8)
    pipe.commit({0: len(wanted), 1: 9})
    for _ in range(2):
        found = compared(pipe)
        assert found.is_sound, contradictions(found)
        assert found.deep is not None
        assert found.deep.records == len(wanted) + 9
        assert (found.deep.batches, found.deep.unchecked_batches) == (4, 0)
        assert hashed(pipe).named == ()
        command(pipe, "OPTIMIZE TABLE event_log FINAL")


def test_each_forged_column_is_named(pipe: Pipe) -> None:
    """Whatever column a row falsifies, the two comparisons name it, its session and its event, and no value."""
    assert set(FORGED) == set(DERIVED_COLUMNS)
    stored(pipe, records(len(FORGED)))
    with ClickHouse(pipe.database) as storage:
        for offset, (name, value) in enumerate(FORGED.items()):
            where = f"kafka_offset = {offset}"
            storage.command(
                f"INSERT INTO event_log SELECT * REPLACE ({value} AS {name}, appended_at - 1 AS appended_at)"
                f" FROM event_log WHERE {where}"
            )
        storage.command("OPTIMIZE TABLE event_log FINAL")
    found = compared(pipe)
    assert [each.kind for each in contradictions(found)] == ["forged"] * len(FORGED)
    assert {each.first_offset: each.columns for each in contradictions(found)} == {
        offset: (name, "appended_at") for offset, name in enumerate(FORGED)
    }
    alone = hashed(pipe)
    assert {each.first_offset: each.columns for each in alone.named} == {
        offset: (name,) for offset, name in enumerate(FORGED)
    }
    assert not any("forged" in each.why for each in alone.named)


def test_an_insert_that_wins_a_merge_is_named(pipe: Pipe) -> None:
    """The same key a second earlier takes the honest row's place: its time, column or record gives it away."""
    stored(pipe, records(9))
    earlier = "appended_at - 1 AS appended_at"
    forge(pipe, f"{earlier}, replaceOne(record, '404', '200') AS record", "kafka_offset = 2")
    forge(pipe, f"{earlier}, 0 AS cost_usd", "kafka_offset = 4")
    forge(pipe, earlier, "kafka_offset = 6")
    with ClickHouse(pipe.database) as storage:
        assert storage.query("SELECT count() FROM event_log").rows == [(9,)]
    found = compared(pipe)
    assert found.gaps == ()
    assert named(found) == [
        ("absent", 2, 2), ("altered", 2, 2), ("forged", 4, 4), ("forged", 6, 6),
    ]  # fmt: skip
    told = {(each.kind, each.first_offset): each for each in contradictions(found)}
    assert told["forged", 4].columns == ("cost_usd", "appended_at")
    assert told["forged", 6].columns == ("appended_at",)
    assert told["altered", 2].session_id == "s"
    assert [(each.kind, each.first_offset) for each in hashed(pipe).named] == [
        ("altered", 2),
        ("forged", 4),
    ]


def test_a_hidden_event_is_named_and_mended(pipe: Pipe) -> None:
    """A forged batch, a moved offset and a decoy row hide an event from the counts, and not from the bytes."""
    pipe.send(records(10))
    pipe.store(0, 0, 5)
    pipe.store(0, 7, 9)
    pipe.commit({0: 10})
    forged = "6 AS first_offset, 6 AS last_offset, 1 AS stored_rows"
    command(pipe, copied("batch_ledger", forged, "first_offset = 7"))
    forge(pipe, "6 AS kafka_offset, generateUUIDv4() AS event_id", "kafka_offset = 3")
    with ClickHouse(pipe.database) as storage:
        assert reconcile(pipe.kafka, storage, pipe.group_id).gaps == ()
    found = compared(pipe)
    assert named(found) == [("absent", 6, 6), ("ledger", 6, 6), ("planted", 6, 6)]
    told = run_here("reconcile", "--deep", settings=settings_of(pipe.kafka, pipe.database))
    assert told.returncode == 1
    assert b"planted: partition 0, offset 6, session 's', event " in told.stdout
    assert b"10 records compared with 10 rows and 3 ledger rows: 3 contradictions" in told.stdout
    command(
        pipe,
        "DELETE FROM event_log WHERE kafka_offset = 6",
        "DELETE FROM batch_ledger WHERE first_offset = 6",
    )
    replay = next(each.way_out for each in contradictions(found) if each.kind == "absent")
    mended = run_here(*replay.split()[1:], settings=settings_of(pipe.kafka, pipe.database))
    assert mended.returncode == 0
    assert compared(pipe).is_sound


def test_a_row_that_claims_what_kafka_never_had_is_named(pipe: Pipe) -> None:
    """An offset above the log, a partition or a topic that is not there, an offset of another record."""
    stored(pipe, records(6))
    forge(pipe, "999 AS kafka_offset, generateUUIDv4() AS event_id", "kafka_offset = 1")
    forge(pipe, "77 AS kafka_partition, generateUUIDv4() AS event_id", "kafka_offset = 2")
    forge(pipe, "'x' AS kafka_topic_id, generateUUIDv4() AS event_id", "kafka_offset = 3")
    place = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
    command(
        pipe,
        f"INSERT INTO event_quarantine ({place}, kafka_offset, record)"
        f" SELECT {place}, 4, 'decoy' FROM event_log WHERE kafka_offset = 0",
    )
    found = contradictions(compared(pipe))
    assert {(each.kind, each.partition, each.first_offset) for each in found} == {
        ("planted", 0, 999), ("planted", 77, 2), ("planted", 0, 3), ("planted", 0, 4),
    }  # fmt: skip


def test_a_row_moved_to_a_place_that_nobody_vouches_for_is_no_home(pipe: Pipe) -> None:
    """An event whose only row claims another topic is named as absent, whatever its columns say."""
    stored(pipe, records(4))
    forge(pipe, "'x' AS kafka_topic_id, appended_at - 1 AS appended_at", "kafka_offset = 2")
    assert named(compared(pipe)) == [("absent", 2, 2), ("planted", 2, 2)]


def test_each_planted_copy_is_named_whatever_partition_is_asked_for(pipe: Pipe) -> None:
    """Copies of a row, under other names and at other places: those of the partition are named, and those of none."""
    pipe.send(records(4))
    pipe.send(records(6, "t"), partition=1)
    pipe.store(0, 0, 3)
    pipe.store(1, 0, 5)
    pipe.commit({0: 4, 1: 6})
    year = "toIntervalYear(3)"
    planted = {
        "another session": "'other' AS session_id",
        "another session, as good as new": "'new' AS session_id, generateUUIDv4() AS event_id",
        "another year": f"'late' AS session_id, appended_at + {year} AS appended_at,"
        f" occurred_us + toUnixTimestamp64Micro(now64(6) + {year}) - toUnixTimestamp64Micro(now64(6)) AS occurred_us",
        "another year alone": f"appended_at + {year} AS appended_at, generateUUIDv4() AS event_id",
        "beyond the log": "99 AS kafka_offset, 'beyond' AS session_id",
        "the last offset": "18446744073709551615 AS kafka_offset, 'last' AS session_id",
        "no such partition": "65535 AS kafka_partition, 'nowhere' AS session_id",
        "another topic": "'x' AS kafka_topic_id, 'topic' AS session_id",
        "another cluster": "'x' AS kafka_cluster, 'cluster' AS session_id",
        "a place of another partition": "0 AS kafka_partition, 'zero' AS session_id",
        "beyond another partition": "0 AS kafka_partition, 88 AS kafka_offset, 'eighty' AS session_id",
    }
    of_it = "session_id = 't' AND kafka_offset = 3"
    command(pipe, *(copied("event_log", each, f"{of_it} LIMIT 1") for each in planted.values()))
    command(pipe, "OPTIMIZE TABLE event_log FINAL")

    def told(partitions: Sequence[int]) -> set[tuple[int, int, str]]:
        found = contradictions(compared(pipe, partitions))
        return {(each.partition, each.first_offset, each.session_id) for each in found}

    impossible = {(65535, 3, "nowhere"), (1, 3, "topic"), (1, 3, "cluster")}
    of_one = {(1, 3, "other"), (1, 3, "new"), (1, 3, "late"), (1, 3, "t"), (1, 2**64 - 1, "last")}
    of_zero = {(0, 3, "zero"), (0, 88, "eighty")}
    assert told([1]) == impossible | of_one
    assert told([0]) == impossible | of_zero
    assert told([]) == impossible | of_one | of_zero


def test_a_batch_that_hashes_otherwise_is_named(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger row with another hash or count, and more rows of one offset than are honest."""
    pipe.send(records(12))
    pipe.store(0, 0, 5)
    pipe.store(0, 6, 11)
    pipe.commit({0: 12})
    command(
        pipe,
        copied("batch_ledger", "unhex(repeat('00', 32)) AS records_hash", "first_offset = 0"),
        copied("batch_ledger", "stored_rows + 1 AS stored_rows", "first_offset = 6"),
    )
    found = contradictions(compared(pipe))
    assert [(each.kind, each.first_offset, each.last_offset) for each in found] == [
        ("ledger", 0, 5), ("ledger", 6, 11),
    ]  # fmt: skip
    command(
        pipe,
        copied(
            "batch_ledger",
            "arrayJoin([0, 1, 2, 3]) AS first_offset, 11 AS last_offset",
            "first_offset = 6 LIMIT 1",
        ),
    )
    monkeypatch.setattr(ledger_hashes, "MAX_OPEN_BATCHES", 2)
    found = contradictions(compared(pipe))
    assert {each.first_offset for each in found if "more than 2 batches" in each.why} == {
        1,
        2,
        3,
        6,
    }


def test_partitions_and_times_narrow_what_is_read(pipe: Pipe) -> None:
    """One partition alone is compared, or what Kafka took since; what is not there is refused."""
    pipe.send(records(5))
    pipe.send(records(7, "t"), partition=2)
    pipe.store(0, 0, 4)
    pipe.store(2, 0, 6)
    pipe.commit({0: 5, 2: 7})
    found = compared(pipe, [2])
    assert found.deep is not None
    assert (found.deep.records, [part.partition for part in found.partitions]) == (7, [2])
    settings = settings_of(pipe.kafka, pipe.database)
    late = dt.datetime(2100, 1, 1, tzinfo=dt.UTC).isoformat()
    told = run_here("reconcile", "--deep", "--since", late, "--format", "json", settings=settings)
    assert (told.returncode, json.loads(told.stdout)["deep"]["records"]) == (0, 0)
    with pytest.raises(QueryError, match="there is no 9"):
        compared(pipe, [9])


def test_hashes_are_checked_without_kafka(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that contradict their record are named in one pass over the table, page after page; code 1."""
    monkeypatch.setattr(row_hashes, "DOUBTED_PER_QUERY", 3)
    monkeypatch.setattr(row_hashes, "BYTES_PER_SLICE", 2_000)
    pipe.send([*records(30), *spellings(), *records(5, "another")])
    pipe.store(0, 0, 41)
    settings = settings_of(pipe.kafka, pipe.database) | {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": NOWHERE
    }
    told = run_here("reconcile", "--hashes", settings=settings)
    assert (told.returncode, told.stdout) == (0, b"42 rows hashed, 0 false rows\n")
    command(
        pipe,
        "ALTER TABLE event_log UPDATE record = concat(record, ' secret') WHERE kafka_offset % 3 = 0"
        " AND kafka_offset < 30 SETTINGS mutations_sync = 2",
        copied(
            "event_log",
            "'not json' AS record, substring(SHA256('not json'), 1, 16) AS record_key",
            "kafka_offset = 40",
        ),
    )
    told = run_here("reconcile", "--hashes", settings=settings)
    assert told.returncode == 1
    assert b"secret" not in told.stdout
    lines = told.stdout.decode().splitlines()
    assert sum(line.startswith("altered: ") for line in lines) == 10
    assert [line for line in lines if line.startswith("forged: ")] == [
        line
        for line in lines
        if "offset 40, session 'another'" in line and "is not an event" in line
    ]
    assert lines[-1] == "43 rows hashed, 11 false rows"
