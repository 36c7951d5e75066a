"""What a worker sees and names around it: open transactions, members that are no workers, the lag of all."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported by assignment
    AdminClient,
    AlterConfigOpType,  # pyright: ignore[reportPrivateImportUsage]
    ConfigEntry,  # pyright: ignore[reportPrivateImportUsage]
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)

from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer import WorkerConfig
from trailhouse.operate.reconcile.comparison import reconcile
from trailhouse.operate.replay.replay import Replay
from trailhouse.operate.status import kafka_state, store_state
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, Worker, WorkerSite, place, some_events

pytestmark = pytest.mark.cluster

IMPATIENT = f"""
from trailhouse.consumer.membership import group_check, group_warnings, topic_check
group_check.LOOK_EVERY_SECONDS = 0.3
group_check.LASTING_TRANSACTION_SECONDS = 2.0
group_warnings.OPEN_AFTER_SECONDS = 1.0
group_warnings.STALLED_AFTER_SECONDS = 1.0
topic_check.ID_EVERY_SECONDS = topic_check.SETTINGS_EVERY_SECONDS = 0.3
{RUN_WORKER}
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


def of_another_team(here: WorkerSite) -> Producer:
    """Return a producer of transactions, which Trailhouse has not."""
    options: dict[str, str | int | float | bool] = {
        "transactional.id": f"another-team-{here.kafka.topic}"
    }
    producer = Producer(here.kafka.client_options() | options)
    producer.init_transactions(DEADLINE_SECONDS)
    return producer


@contextmanager
def stranger(here: WorkerSite) -> Generator[Consumer]:
    """Have somebody in the workers' group who polls, stores nothing and commits nothing."""
    consumer = Consumer(
        here.kafka.client_options()
        | {
            "group.id": f"{here.kafka.topic}-group",
            "client.id": "a-notebook",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "range",
            "auto.offset.reset": "latest",
            "session.timeout.ms": 6_000,
        }
    )
    consumer.subscribe([here.kafka.topic])
    is_over = threading.Event()

    def poll() -> None:
        while not is_over.is_set():
            consumer.poll(0.1)

    polls = threading.Thread(target=poll)
    polls.start()
    try:
        yield consumer
    finally:
        is_over.set()
        polls.join()
        consumer.close()


def warnings(worker: Worker) -> dict[str, str]:
    """Return what /health warns of."""
    found: dict[str, str] = worker.health()[1]["warnings"]
    return found


def group_lag(worker: Worker) -> list[float]:
    """Return the lag of every partition of the topic, as this worker exports it."""
    series = worker.series()
    return [series[f"group_lag_records/{partition}"] for partition in range(4)]


def lags(worker: Worker, partition: int) -> tuple[float, float]:
    """Return the lag of a partition as the group's watch and as the ingest loop found it, each in its time."""
    series = worker.series()
    return series[f"group_lag_records/{partition}"], series[f"lag_records/{partition}"]


def test_an_open_transaction_is_seen_named_and_noted(here: WorkerSite) -> None:
    """While a stranger's transaction is open, health names the partition, the metrics its age and its lag,
    and an incident where; once it ends, all is read and the warning is over."""
    worker = here.start(IMPATIENT, worker_watchdog_seconds=3)
    worker.wait_until_ready()
    producer = of_another_team(here)
    producer.begin_transaction()
    [first, *rest] = [event.record for event in some_events(20)]
    producer.produce(here.kafka.topic, first, b"k", 1)
    producer.flush(DEADLINE_SECONDS)
    here.send(rest, partition=1)
    eventually(lambda: "open_transaction" in warnings(worker), "a warning of the transaction")
    status, report = worker.health()
    assert (status, report["status"]) == (200, "degraded")
    assert "partition 1 from offset 0 on" in report["warnings"]["open_transaction"]
    series = worker.series()
    assert series["open_transaction_seconds/1"] >= 1
    assert (series["open_transaction_seconds/0"], series["warnings/open_transaction"]) == (0, 1)
    eventually(lambda: lags(worker, 1) == (20, 20), "the lag, by both figures")
    incidents = "SELECT kind, kafka_partition, first_offset FROM incidents"
    eventually(lambda: here.rows(incidents) == [("open_transaction", 1, 0)], "one incident")
    assert worker.process.poll() is None, "expected the watchdog to know that nothing can be read"
    state = kafka_state(here.kafka, f"{here.kafka.topic}-group")
    assert (state.open_transactions, state.lag_records) == ({1: 0}, 20)
    assert store_state(here.database).incidents == {"open_transaction": 1}

    producer.commit_transaction(DEADLINE_SECONDS)
    worker.wait_for("records_stored_total", 20)
    eventually(lambda: not warnings(worker), "no warning any more")
    assert worker.series()["incidents_total/open_transaction"] == 1


@pytest.mark.long
def test_the_marks_of_transactions_are_no_lag(here: WorkerSite) -> None:
    """What is left behind the last record when transactions are over holds none: no lag, for no tool, and no incident
    at the next start but those that say where no record is."""
    worker = here.start(worker_watchdog_seconds=3, clickhouse_timeout_seconds=1)
    worker.wait_until_ready()
    group, producer = f"{here.kafka.topic}-group", of_another_team(here)
    for is_kept in (True, False):
        producer.begin_transaction()
        for event in some_events(10):
            producer.produce(here.kafka.topic, event.record, b"k", int(is_kept))
        (producer.commit_transaction if is_kept else producer.abort_transaction)(DEADLINE_SECONDS)
    eventually(
        lambda: [part.lag_records for part in KafkaAdmin(here.kafka).lag(group)] == [0, 0, 0, 0],
        "no lag in Kafka",
    )
    worker.wait_for("records_stored_total", 10)
    eventually(
        lambda: [lags(worker, partition) for partition in range(4)] == [(0, 0)] * 4,
        "no lag in the metrics, by either figure",
    )
    until = time.monotonic() + 10  # longer than the watchdog would wait for what never comes
    eventually(lambda: time.monotonic() > until, "the end of a while")
    assert worker.end() == 0
    here.send([event.record for event in some_events(3, sessions=1)], partition=0)
    here.start().wait_for("records_stored_total", 3)
    assert here.rows("SELECT DISTINCT kind FROM incidents") == [("no_record",)]
    with ClickHouse(here.database) as storage:
        found = reconcile(here.kafka, storage, group)
    assert (found.gaps, here.count()) == ((), 13)


def test_a_stranger_in_the_group_is_named_with_what_it_takes(here: WorkerSite) -> None:
    """A member that is no worker takes partitions: every worker exports the lag of all, and names it."""
    worker = here.start(IMPATIENT)
    worker.wait_until_ready()
    with stranger(here):
        eventually(lambda: worker.series()["unknown_group_members"] == 1, "the stranger is counted")
        eventually(lambda: worker.series()["partitions"] == 2, "partitions taken from the worker")
        for partition in range(4):
            here.send([event.record for event in some_events(5)], partition=partition)
        eventually(
            lambda: "stalled_partition" in warnings(worker), "a warning of what stands still"
        )
        found = warnings(worker)
        assert "a-notebook at 127.0.0.1 with partitions" in found["unknown_member"]
        assert "held by one that is no worker at 127.0.0.1" in found["stalled_partition"]
        eventually(lambda: sorted(group_lag(worker)) == [0, 0, 5, 5], "the lag of all partitions")
        assert worker.series()["group_members"] == 2
        state = kafka_state(here.kafka, f"{here.kafka.topic}-group")
        assert [member.is_worker for member in state.members or ()] == [False, True]
        assert ["a-notebook" in warning for warning in state.warnings] == [True]
    eventually(lambda: here.count() == 20, "everything, once the stranger has gone")
    eventually(lambda: not warnings(worker), "no warning any more")


def set_timestamp_type(here: WorkerSite, value: str) -> None:
    """Switch whose time a record of the topic carries."""
    admin = AdminClient(here.kafka.client_options())
    resource = ConfigResource(ResourceType.TOPIC, here.kafka.topic)
    # Kafka looks every five minutes for records to delete, and takes a sender's time for their age.
    for name, text in (("message.timestamp.type", value), ("retention.ms", "-1")):
        resource.add_incremental_config(
            ConfigEntry(name, text, incremental_operation=AlterConfigOpType.SET)
        )
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(DEADLINE_SECONDS)


@pytest.mark.long
def test_a_sender_cannot_date_what_it_sends_before_the_others(here: WorkerSite) -> None:
    """While the topic is CreateTime it is named; what was sent then is an incident, does not take the place
    of an honest copy, keeps its order in its partition, and has the same time however often it is read."""
    worker = here.start(IMPATIENT)
    worker.wait_until_ready()
    honest = [AuditEvent(type="a", session_id="s", data={"n": number}) for number in range(6)]
    for event in honest[:3]:
        here.send([event.record], partition=1)
    set_timestamp_type(here, "CreateTime")
    eventually(lambda: "topic_settings" in warnings(worker), "a warning of the topic's settings")
    assert "message.timestamp.type is CreateTime" in warnings(worker)["topic_settings"]
    forger = Producer(here.kafka.client_options())
    forger.produce(here.kafka.topic, honest[2].record, b"s", 0, timestamp=978_307_200_000)
    for event in honest[3:5]:
        forger.produce(here.kafka.topic, event.record, b"s", 1, timestamp=978_307_200_000)
    assert forger.flush(DEADLINE_SECONDS) == 0
    worker.wait_for("records_stored_total", 6)
    set_timestamp_type(here, "LogAppendTime")
    eventually(lambda: "topic_settings" not in warnings(worker), "no warning any more")
    here.send([honest[5].record], partition=1)
    worker.wait_for("records_stored_total", 7)

    def as_seen() -> list[tuple[object, ...]]:
        with AuditReader(config=here.database) as reader:
            order = [event.data["n"] for event in reader.get_audit_log("s")]
            part = [
                event.data["n"]
                for event in reader.get_audit_log("s", type="a", since=honest[2].occurred_at)
            ]
        rows = here.rows(
            "SELECT kafka_partition, kafka_offset, toString(appended_at) FROM events ORDER BY kafka_offset"
        )
        return [tuple(order), tuple(part), *rows]

    seen = as_seen()
    assert seen[:2] == [(0, 1, 2, 3, 4, 5), (2, 3, 4, 5)]
    assert [row[:2] for row in seen[2:]] == [(1, offset) for offset in range(6)]
    incidents = here.rows(
        "SELECT kind, kafka_partition, first_offset, last_offset FROM incidents ORDER BY kafka_partition"
    )
    assert incidents == [("create_time", 0, 0, 0), ("create_time", 1, 3, 4)]
    assert worker.series()["sender_timed_records_total"] == 3
    with ClickHouse(here.database) as storage, TopicReader(here.kafka) as reader:
        origin = TopicIdentity(here.kafka).origin(here.kafka)
        Replay(storage, origin, WorkerConfig()).run(reader, {0: Range(0, 0), 1: Range(0, 5)})
    assert as_seen() == seen


@pytest.mark.long
def test_a_sender_cannot_date_what_is_read_after_a_worker_died(here: WorkerSite) -> None:
    """What the next worker reads by a child process is known as its sender's time all the same."""
    event = AuditEvent(type="a", session_id="s")
    first = here.start(IMPATIENT)
    first.wait_until_ready()
    here.send([event.record], partition=1)
    first.wait_for("records_stored_total", 1)
    before = here.rows("SELECT kafka_partition, toString(appended_at) FROM events")
    first.kill()
    set_timestamp_type(here, "CreateTime")
    forger = Producer(here.kafka.client_options())
    for partition in (0, 1):
        forger.produce(here.kafka.topic, event.record, b"s", partition, timestamp=978_307_200_000)
    assert forger.flush(DEADLINE_SECONDS) == 0
    second = here.start(IMPATIENT)
    second.wait_for("records_stored_total", 2)
    assert here.rows("SELECT kafka_partition, toString(appended_at) FROM events") == before
    incidents = here.rows("SELECT kind, kafka_partition FROM incidents ORDER BY kafka_partition")
    assert incidents == [("create_time", 0), ("create_time", 1)]
