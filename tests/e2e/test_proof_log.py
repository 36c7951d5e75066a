"""The worker's logs on a real broker and engine: one leaf a record, one root a size, whatever comes in between."""

import datetime as dt
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from proof_logs import FoundLog, found_logs
from proven import ProvenLog, log_key
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer import WorkerConfig
from trailhouse.consumer.batch.blocks import incident_block, ledger_block
from trailhouse.consumer.batch.span import Span
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.operate.replay.replay import Replay
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import create_key_file, is_signed_by, read_key_file
from trailhouse.proof.note import signers
from trailhouse.proof.origin import LogOrigin
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.tables import LATEST_MS
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

IMPATIENT = f"""
from trailhouse.consumer.proof_log import checkpointer
checkpointer.AGAIN_SECONDS = 0.5
{RUN_WORKER}
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def logs_of(here: WorkerSite) -> dict[int, FoundLog]:
    """Return the logs of a topic of which each partition has one generation."""
    with ClickHouse(here.database) as clickhouse:
        return {partition: log for (_, partition, _), log in found_logs(clickhouse).items()}


def incidents(here: WorkerSite, kind: str) -> list[tuple[int, int, int]]:
    """Return partition and range of each incident of *kind*."""
    rows = here.rows(
        "SELECT DISTINCT kafka_partition, first_offset, last_offset FROM event_incidents"
        f" WHERE kind = '{kind}' ORDER BY ALL"
    )
    return [(row[0], row[1], row[2]) for row in rows]


def keyed(folder: Path) -> tuple[ProofConfig, dict[str, str]]:
    """Return the settings of a log with a new key, and the same for a worker."""
    proof = log_key(folder)
    return proof, {"proof_log_name": proof.log_name, "proof_key_file": proof.key_file}


def test_every_record_has_its_leaf_and_every_log_is_signed(
    here: WorkerSite, tmp_path: Path
) -> None:
    """Good and bad records alike are leaves of a tree whose root the log's key signs, soon after they came."""
    proof, settings = keyed(tmp_path)
    worker = here.start(**settings)
    worker.wait_until_ready()
    events = some_events(300)
    here.emit(events)
    bad: list[bytes | None] = [None, b"", b"{", b"\xff" * 70_000]
    here.send(bad)
    eventually(lambda: here.count() == 300 and here.count("quarantine") == 4, "all of them")
    eventually(lambda: sum(len(log.leaves) for log in logs_of(here).values()) == 304, "leaves")
    eventually(lambda: all(log.size == log.end for log in logs_of(here).values()), "checkpoints")
    logs = logs_of(here)
    leaves = [leaf for log in logs.values() for leaf in log.leaves.values()]
    key = read_key_file(Path(proof.key_file)).public_key

    assert sorted(digest for kind, _, digest in leaves if kind == 1) == sorted(
        sha256(record).digest()
        for record in [*(event.record for event in events), *bad]
        if record is not None
    )
    assert [digest for kind, _, digest in leaves if kind == 2] == [sha256(b"").digest()]
    for log in logs.values():
        _, _, note = log.checkpoints[-1]
        assert note is not None
        name = note.text.split("\n")[0]
        assert signers(note, {name: key}, is_signed_by) == {name}
    assert worker.health()[1]["warnings"] == {}
    assert worker.series()["unsigned_checkpoints"] == 0
    assert {worker.series()[f"log_leaves/{number}"] for number in logs} == {
        log.size for log in logs.values()
    }


def test_a_hole_has_an_incident_that_says_why(here: WorkerSite) -> None:
    """Where transactions have their markers, and what they have taken back, is no record: written down, exactly."""
    worker = here.start()
    options: dict[str, str | int | float | bool] = {"transactional.id": here.kafka.topic}
    producer = Producer(here.kafka.client_options() | options)
    producer.init_transactions(DEADLINE_SECONDS)
    for number, events in enumerate((some_events(3), some_events(2), some_events(4))):
        producer.begin_transaction()
        for event in events:
            producer.produce(here.kafka.topic, event.record, b"k", 1)
        producer.flush(DEADLINE_SECONDS)
        if number == 1:
            producer.abort_transaction(DEADLINE_SECONDS)
        else:
            producer.commit_transaction(DEADLINE_SECONDS)
    eventually(lambda: 1 in logs_of(here) and logs_of(here)[1].size == 12, "a log to its end")

    # Three events and a marker, two that were taken back and a marker, four events and a marker.
    assert sorted(logs_of(here)[1].leaves) == [0, 1, 2, 7, 8, 9, 10]
    eventually(lambda: incidents(here, "no_record"), "an incident")
    holes = {
        offset
        for partition, first, last in incidents(here, "no_record")
        for offset in range(first, last + 1)
        if partition == 1
    }
    assert holes == {3, 4, 5, 6, 11}
    assert worker.series()["incidents_total/no_record"] == 0, "expected no alarm for it"


@pytest.mark.long
def test_records_other_than_those_that_were_signed_begin_a_new_generation(
    here: WorkerSite, tmp_path: Path
) -> None:
    """After an unclean election the log goes on under a name that commits to what was signed; nothing stops."""
    proof, settings = keyed(tmp_path)
    admin = AdminClient(here.kafka.client_options())
    change = ConfigEntry(
        "message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(ResourceType.TOPIC, here.kafka.topic, incremental_configs=[change])
    admin.incremental_alter_configs([topic])[topic].result(DEADLINE_SECONDS)
    with TopicIdentity(here.kafka) as identity:
        origin = identity.origin(here.kafka)
    shared, lost, others = (some_events(count) for count in (5, 4, 9))
    with ClickHouse(here.database) as clickhouse:
        # What another leader of this partition had given, and a worker had stored and signed.
        ProvenLog(clickhouse, proof, origin).store({0: [*shared, *lost]}, appended_ms=LATEST_MS)
    here.send([event.record for event in (*shared, *others)])
    worker = here.start(**settings)
    eventually(lambda: len(logs_by_generation(here)) == 2, "another generation")
    eventually(lambda: logs_by_generation(here)[1][1].size == 14, "its checkpoint")
    (first, before), (second, after) = logs_by_generation(here)
    text = before.checkpoints[-1][1].partition("\n\n")[0] + "\n"
    log = LogOrigin(proof.log_name, origin.topic, origin.topic_id, 0)

    assert (first, before.size, sorted(before.leaves)) == ("1", 9, list(range(9)))
    assert second == log.successor(text).generation
    assert sorted(after.leaves) == list(range(5, 14))
    assert before.is_signed
    assert after.is_signed
    assert incidents(here, "forked") == [(0, 5, 8)]
    assert worker.series()["incidents_total/forked"] == 1
    assert here.count() == 18
    worker.end()
    here.send([event.record for event in some_events(2)])
    here.start(**settings)
    eventually(lambda: logs_by_generation(here)[1][1].size == 16, "the log to go on")
    assert len(logs_by_generation(here)) == 2
    assert incidents(here, "forked") == [(0, 5, 8)]


def logs_by_generation(here: WorkerSite) -> list[tuple[str, FoundLog]]:
    """Return the generations of partition 0, the first one first."""
    with ClickHouse(here.database) as clickhouse:
        found = found_logs(clickhouse).items()
    return sorted(
        ((generation, log) for (_, partition, generation), log in found if partition == 0),
        key=lambda each: each[0],
    )


@pytest.mark.long
def test_a_key_that_cannot_be_used_stops_nothing(here: WorkerSite, tmp_path: Path) -> None:
    """Without its key a worker goes on and says so; once the key is there, what was written meanwhile is signed."""
    path = tmp_path / "log.key"
    worker = here.start(IMPATIENT, proof_log_name="audit.example/tests", proof_key_file=str(path))
    here.emit(some_events(40))
    eventually(lambda: here.count() == 40, "all of them")
    eventually(lambda: worker.series()["unsigned_checkpoints"] > 0, "the metric")
    assert "unsigned_checkpoints" in worker.health()[1]["warnings"]
    assert "checkpoints are not signed" in worker.log
    logs = logs_of(here)
    assert logs
    assert not any(log.is_signed for log in logs.values())
    create_key_file(path)
    eventually(
        lambda: all(log.is_signed and log.size == log.end for log in logs_of(here).values()),
        "signatures",
    )
    eventually(lambda: worker.health()[1]["warnings"] == {}, "no warning")
    assert worker.series()["unsigned_checkpoints"] == 0
    assert worker.log.count("checkpoints are not signed") == 1


@pytest.mark.long
def test_leaves_that_a_restored_backup_lacks_are_read_again(here: WorkerSite) -> None:
    """A database whose leaves are older than its ledger has its records read again from Kafka, and loses no leaf."""
    worker = here.start()
    here.send([event.record for event in some_events(30)])
    eventually(lambda: logs_of(here) and logs_of(here)[0].size == 30, "a checkpoint")
    here.send([event.record for event in some_events(20)])
    eventually(lambda: here.count() == 50, "the rest")
    worker.end()
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("DELETE FROM log_leaves WHERE kafka_offset >= 40")
        clickhouse.command("DELETE FROM log_checkpoints WHERE size > 30")
    here.start()
    eventually(lambda: logs_of(here)[0].size == 50, "the log to its end")

    assert sorted(logs_of(here)[0].leaves) == list(range(50))
    assert incidents(here, "rewound") == [(0, 40, 49)]
    assert incidents(here, "no_record") == []


def test_a_replay_writes_the_leaves_that_are_lost_and_changes_none(here: WorkerSite) -> None:
    """Records that are replayed have the leaves that the worker gave them, and none where one was passed over."""
    worker = here.start()
    here.send([event.record for event in some_events(30)])
    eventually(lambda: logs_of(here) and logs_of(here)[0].size == 30, "a checkpoint")
    worker.end()
    before = logs_of(here)[0].leaves
    with ClickHouse(here.database) as clickhouse, TopicReader(here.kafka) as reader:
        clickhouse.command("DELETE FROM log_leaves WHERE kafka_offset IN (7, 20, 21)")
        with TopicIdentity(here.kafka) as identity:
            origin = identity.origin(here.kafka)
        passed_over = Incident("skipped", 0, 20, 20)
        clickhouse.insert(
            incident_block(origin, [passed_over], ["by a test"], dt.datetime.now(dt.UTC))
        )
        done = Replay(clickhouse, origin, WorkerConfig()).run(reader, {0: Range(0, 29)})
        rows = clickhouse.query("SELECT DISTINCT kafka_offset FROM log_leaves ORDER BY 1").rows

    assert (done.records, done.new_events, done.unproven) == (30, 0, 1)
    assert [row[0] for row in rows] == [offset for offset in before if offset != 20]
    with pytest.raises(AssertionError, match="expected one root"):
        logs_of(here)


@pytest.mark.long
def test_a_log_that_begins_in_a_topic_that_was_read_says_from_where(here: WorkerSite) -> None:
    """What was stored before there were logs has no leaf, and an incident that says so; what follows has both."""
    here.send([event.record for event in some_events(8)])
    with ClickHouse(here.database) as clickhouse:
        with TopicIdentity(here.kafka) as identity:
            origin = identity.origin(here.kafka)
        span = Span(0, 0)
        span.reach(4, 0)
        clickhouse.insert(ledger_block(origin, {0: span}, {}, dt.datetime.now(dt.UTC)))
    group = Consumer(here.kafka.client_options() | {"group.id": f"{here.kafka.topic}-group"})
    group.commit(offsets=[TopicPartition(here.kafka.topic, 0, 5)], asynchronous=False)
    group.close()
    here.start()
    eventually(lambda: logs_of(here) and logs_of(here)[0].size == 8, "a checkpoint")

    assert sorted(logs_of(here)[0].leaves) == [5, 6, 7]
    assert incidents(here, "unproven") == [(0, 0, 4)]
    assert incidents(here, "no_record") == incidents(here, "rewound") == []
