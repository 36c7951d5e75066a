"""What becomes of records when a part fails: nothing is lost, nothing is seen twice, and it is said."""

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tcp_gate import gate
from trailhouse.consumer import WorkerConfig
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, Worker, WorkerSite, place, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.long]

DIE_BEFORE_THE_COMMIT = f"""
import os, signal
from trailhouse.consumer.membership.committer import Committer
Committer.commit = lambda self, offsets: os.kill(os.getpid(), signal.SIGKILL)
{RUN_WORKER}
"""


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[WorkerSite]:
    """Return a fresh topic and database, and an empty folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    with place(kafka, database, folder) as ready:
        yield ready


class Load:
    """Emits events in a thread until it is stopped."""

    def __init__(self, here: WorkerSite) -> None:
        self._here = here
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent: list[AuditEvent] = []

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # 10,000 a second at most: the processor is for the workers, and all that is sent is read in the end.
        while not self._stop.wait(0.05):
            events = some_events(500)
            self._here.emit(events)
            self.sent += events


def assert_each_is_seen_once(here: WorkerSite, events: Sequence[AuditEvent]) -> None:
    """Wait for all events in the readers' view, and compare it with *events* to the last byte."""
    eventually(lambda: here.count() >= len(events), f"{len(events)} events in the view")
    assert here.stored_records() == sorted(event.record for event in events)


def committed(here: WorkerSite) -> int:
    """Return how many records the group has committed in all partitions."""
    from trailhouse.broker.admin import KafkaAdmin

    lag = KafkaAdmin(here.kafka).lag(f"{here.kafka.topic}-group")
    return sum(part.committed_offset or 0 for part in lag)


def test_sigterm_under_load_drains(here: WorkerSite) -> None:
    """SIGTERM in the middle of the stream exits 0; what the next worker adds completes it exactly."""
    first = here.start(worker_batch_rows=700)
    first.wait_until_ready()
    with Load(here) as load:
        first.wait_for("records_stored_total", 2_000)
        assert first.end() == 0
    eventually(lambda: committed(here) >= 2_000, "commits of the first worker")
    assert here.count() >= committed(here), "expected every committed record in the view"
    here.start()
    assert_each_is_seen_once(here, load.sent)


def test_kill_between_insert_and_commit(here: WorkerSite) -> None:
    """A worker killed after its insert and before its commit: the rows come again and are seen once."""
    events = some_events(500)
    here.emit(events)
    doomed = here.start(DIE_BEFORE_THE_COMMIT)
    assert doomed.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    assert here.count("event_log") > 0, "expected rows without a commit"
    assert committed(here) == 0
    here.start()
    assert_each_is_seen_once(here, events)
    eventually(lambda: committed(here) == len(events), "the commit of every record")


def test_kill_at_any_moment(here: WorkerSite) -> None:
    """Workers killed again and again under load lose nothing and show nothing twice."""
    with Load(here) as load:
        for rows in (400, 800, 1_600):
            worker = here.start(worker_batch_rows=100)
            worker.wait_for("records_stored_total", rows)
            worker.kill()
            eventually(
                lambda: here.count() >= committed(here), "every committed record in the view"
            )
    here.start()
    assert_each_is_seen_once(here, load.sent)


def test_clickhouse_away_and_back(here: WorkerSite) -> None:
    """ClickHouse away: not ready, said once, nothing committed, still in the group; back: all is stored."""
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url, worker_batch_rows=100)
        worker.wait_until_ready()
        way.shut()
        events = some_events(3_000)
        here.emit(events)
        eventually(lambda: worker.health()[0] == 503, "a worker that is not ready")
        eventually(lambda: worker.series()["insert_failures_total"] >= 4, "several attempts")
        assert worker.health()[1]["clickhouse"]["state"] == "away"
        assert worker.health()[1]["kafka"]["state"] == "ready"
        assert committed(here) == 0
        assert worker.series()["records_stored_total"] == 0
        way.open()
        worker.wait_until_ready()
        assert_each_is_seen_once(here, events)
        eventually(lambda: committed(here) == len(events), "the commit of every record")

        assert len(re.findall(r'event="away, waiting"', worker.log)) == 1, worker.log
        assert len(re.findall(r"event=ready part=clickhouse", worker.log)) == 2, worker.log
        assert worker.series()["batches_dropped_total"] == 0, "expected no rebalance"


def test_clickhouse_away_at_start(here: WorkerSite) -> None:
    """A worker that starts before ClickHouse waits, says so, and then stores."""
    events = some_events(20)
    here.emit(events)
    with gate(here.database.url) as way:
        way.shut()
        worker = here.start(clickhouse_url=way.url)
        eventually(lambda: worker.health()[0] == 503, "a worker that is not ready")
        eventually(lambda: "away" in worker.log, "a line that says so")
        assert worker.process.poll() is None
        way.open()
        assert_each_is_seen_once(here, events)


def test_idle_worker_notices_that_clickhouse_is_away(here: WorkerSite) -> None:
    """/health is true without any traffic."""
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url)
        worker.wait_until_ready()
        way.shut()
        eventually(lambda: worker.health()[0] == 503, "a worker that is not ready")
        way.open()
        worker.wait_until_ready()


def test_lost_answer_is_no_second_row(here: WorkerSite) -> None:
    """An insert that was carried out, but whose answer got lost, is repeated and seen once."""
    events = some_events(50)
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url, clickhouse_timeout_seconds=2)
        worker.wait_until_ready()
        way.mute()
        here.emit(events)
        eventually(lambda: here.count("event_log") > 0, "rows whose insert is not acknowledged")
        eventually(lambda: worker.series()["insert_failures_total"] >= 1, "a failed attempt")
        assert committed(here) == 0
        way.open()
        assert_each_is_seen_once(here, events)
        eventually(lambda: committed(here) == len(events), "the commit of every record")


def test_drain_over_its_deadline_is_cut_off(here: WorkerSite) -> None:
    """An insert that does not end holds SIGTERM up for drain_seconds at most: exit 75, nothing lost."""
    events = some_events(50)
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url, worker_drain_seconds=1)
        worker.wait_until_ready()
        way.mute()
        here.emit(events)
        eventually(lambda: here.count("event_log") > 0, "rows whose insert is not acknowledged")
        began = time.monotonic()
        assert worker.end() == 75
        assert time.monotonic() - began < WorkerConfig().drain_seconds, "expected our setting"
        assert "cut off" in worker.log
    assert committed(here) == 0
    here.start()
    assert_each_is_seen_once(here, events)


def test_a_second_signal_changes_nothing(here: WorkerSite) -> None:
    """SIGTERM twice drains as SIGTERM once."""
    worker = here.start()
    worker.wait_until_ready()
    events = some_events(50)
    here.emit(events)
    worker.wait_for("records_stored_total", 50)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end(signal.SIGINT) == 0


def test_sigterm_while_clickhouse_is_away(here: WorkerSite) -> None:
    """A worker that waits for ClickHouse ends at once, commits nothing, and loses nothing."""
    events = some_events(50)
    with gate(here.database.url) as way:
        worker = here.start(clickhouse_url=way.url)
        worker.wait_until_ready()
        way.shut()
        here.emit(events)
        eventually(lambda: worker.series()["insert_failures_total"] >= 1, "a failed attempt")
        assert worker.end() == 0
    assert committed(here) == 0
    here.start()
    assert_each_is_seen_once(here, events)


def test_breaker_stops_before_the_commit(here: WorkerSite) -> None:
    """When most of a batch is bad the worker stops with exit 1 and one line, and commits nothing."""
    here.send([b"noise %d" % number for number in range(60)])
    worker = here.start(
        worker_max_bad_share=0.5, worker_max_bad_rows=50, worker_freshness_seconds=1
    )
    assert worker.process.wait(DEADLINE_SECONDS) == 1
    (line,) = [line for line in worker.log.splitlines() if "level=error" in line]
    assert "60 of 60 records" in line
    assert "TRAILHOUSE_WORKER_MAX_BAD_SHARE" in line
    assert "Traceback" not in worker.log
    assert committed(here) == 0
    again = here.start()
    again.wait_for("records_quarantined_total", 60)


def test_missing_topic_is_named_and_waited_for(here: WorkerSite) -> None:
    """A missing topic makes the worker not ready, and that names it with the way out."""
    worker = here.start(kafka_topic=f"{here.kafka.topic}-missing")
    eventually(lambda: "no topic" in str(worker.health()[1]), "a health that names the topic")
    assert worker.health()[0] == 503
    assert "trailhouse init" in worker.health()[1]["kafka"]["reason"]
    assert worker.process.poll() is None


def test_kafka_away_at_start_is_said(here: WorkerSite) -> None:
    """Without a broker the worker waits, and /health says so."""
    worker = here.start(kafka_bootstrap_servers="127.0.0.1:1")
    eventually(lambda: "does not answer" in str(worker.health()[1]), "a health that says so")
    assert worker.health()[0] == 503
    assert worker.end() == 0


def test_credentials_that_the_broker_does_not_take(here: WorkerSite) -> None:
    """A connection that Kafka refuses is on /health, and the worker goes on trying."""
    worker = here.start(
        kafka_security_protocol="sasl_plaintext",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="nobody",
        kafka_sasl_password="wrong",
    )
    eventually(
        lambda: "Kafka at" in str((worker.health()[1] or {}).get("kafka")),
        "a health that names Kafka",
    )
    assert worker.health()[0] == 503
    assert worker.process.poll() is None
    assert "wrong" not in worker.log + str(worker.health()[1])


def test_database_of_a_newer_version_is_refused(here: WorkerSite) -> None:
    """A database that a newer version migrated: exit 1 and the line that names the migration."""
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command(
            "INSERT INTO schema_migrations (number, name, sha256) VALUES (99, 'later', 'x')"
        )
    worker = here.start()
    assert worker.process.wait(DEADLINE_SECONDS) == 1
    assert "needs trailhouse with migration 99" in worker.log
    assert "Traceback" not in worker.log


def test_missing_tables_are_waited_for(here: WorkerSite) -> None:
    """Without tables nothing is read; after `init` it goes on by itself."""
    from trailhouse.store.migrate import migrate

    later = msgspec.structs.replace(here.database, database=f"{here.database.database}_later")
    events = some_events(5)
    here.emit(events)
    worker = here.start(clickhouse_database=later.database)
    eventually(
        lambda: "trailhouse init" in str(worker.health()[1]), "a health that names the way out"
    )
    migrate(later)
    with place(here.kafka, later, here.folder) as there:
        assert_each_is_seen_once(there, events)


def test_a_table_that_is_gone_is_no_bad_record(here: WorkerSite) -> None:
    """When ClickHouse refuses every row alike, nothing is quarantined and nothing committed."""
    worker = here.start()
    worker.wait_until_ready()
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("RENAME TABLE event_log TO elsewhere")
        here.emit(some_events(30))
        eventually(lambda: worker.health()[0] == 503, "a worker that is not ready")
        assert here.count("quarantine") == 0
        assert committed(here) == 0
        clickhouse.command("RENAME TABLE elsewhere TO event_log")
    worker.wait_for("records_stored_total", 30)
    assert here.count("quarantine") == 0


def test_a_view_of_somebodys_own_that_throws_is_no_bad_record(here: WorkerSite) -> None:
    """Who adds a view cannot have an event put into quarantine: all waits, and is stored once the view is gone."""
    worker = here.start(worker_freshness_seconds=1)
    worker.wait_until_ready()
    events = [AuditEvent(type="a", session_id="s", run_id=name) for name in ("one", "seven", "ten")]
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command(
            "CREATE MATERIALIZED VIEW sly ENGINE = Null"
            " AS SELECT throwIf(run_id = 'seven') AS no FROM event_log"
        )
        here.emit(events)
        eventually(lambda: "verify" in str(worker.health()[1]), "a health that names the way out")
        assert here.count("quarantine") == 0
        assert committed(here) == 0
        clickhouse.command("DROP VIEW sly")
    assert_each_is_seen_once(here, events)
    assert here.count("quarantine") == 0


def test_a_row_that_clickhouse_refuses_is_found_and_quarantined(here: WorkerSite) -> None:
    """One row that breaks a constraint of the table goes to quarantine; the rest is stored."""
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("ALTER TABLE event_log ADD CONSTRAINT no_seven CHECK run_id != 'seven'")
    events = [
        AuditEvent(type="a", session_id="s", run_id=name)
        for name in ("one", "two", "seven", "nine", "ten")
    ]
    here.emit(events)
    here.start(worker_freshness_seconds=1)
    eventually(lambda: here.count("quarantine") == 1, "the refused row in quarantine")
    eventually(lambda: here.count() == 4, "the other rows")
    ((record, reason),) = here.rows("SELECT record, reason FROM quarantine", "record")
    assert record == events[2].record
    assert "VIOLATED_CONSTRAINT" in reason
    eventually(
        lambda: here.rows("SELECT stored_rows, quarantined_rows FROM batch_ledger") == [(4, 1)],
        "one row of the ledger, which counts both",
    )


def test_zombie_is_fenced(here: WorkerSite) -> None:
    """A worker stopped for longer than its session, then continued, shows nothing twice."""
    first = here.start(worker_batch_rows=50)
    first.wait_until_ready()
    events = some_events(2_000)
    here.emit(events[:1_000])
    first.wait_for("records_stored_total", 50)
    first.process.send_signal(signal.SIGSTOP)
    here.emit(events[1_000:])
    second = here.start()
    assert_each_is_seen_once(here, events)
    first.process.send_signal(signal.SIGCONT)
    eventually(
        lambda: partitions(first) + partitions(second) == here.kafka.partitions,
        "both in the group again",
    )
    eventually(lambda: committed(here) == len(events), "the commit of every record")
    assert_each_is_seen_once(here, events)


def partitions(worker: Worker) -> float:
    """Return how many partitions the worker has; of a worker that is ready."""
    return worker.series()["partitions"] if worker.is_ready() else 0.0


def test_widened_topic_is_read_from_the_beginning(here: WorkerSite) -> None:
    """Partitions that are added while a worker runs lose no record."""
    worker = here.start()
    worker.wait_until_ready()
    admin = AdminClient(here.kafka.client_options())
    wider = NewPartitions(here.kafka.topic, here.kafka.partitions + 2)
    for future in admin.create_partitions([wider]).values():
        future.result(DEADLINE_SECONDS)
    events = some_events(40)
    for number, half in enumerate((events[:20], events[20:])):
        here.send([event.record for event in half], partition=here.kafka.partitions + number)
    eventually(lambda: here.count() == len(events), "the records of the new partitions")
