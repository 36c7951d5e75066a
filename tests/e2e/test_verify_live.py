"""`verify` beside a worker that runs, and after one that was killed: what is on its way is no finding."""

import base64
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from made_keys import made_key
from proof_logs import found_logs
from proven import LOG_NAME, log_key
from trailhouse.operate.verify.duties.leaves import tails
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import note_signed, read_key_file
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, Worker, WorkerSite, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.long]

OWNER = made_key(21)
RELUCTANT = f"""
from trailhouse.consumer.proof_log import checkpointer
checkpointer.FEW_EVERY_SECONDS = 600.0
{RUN_WORKER}
"""
"""A worker that signs its first records, and those that follow not before it is asked to."""
_FALSE = """replace(record, '"number":25', '"number":99')"""
FALSE_ROW = f"""
INSERT INTO event_log SELECT * REPLACE (
    {_FALSE} AS record, toFixedString(substring(SHA256({_FALSE}), 1, 16), 16) AS record_key
) FROM event_log WHERE kafka_offset = 25
"""
FALSE_LEAF = f"""
INSERT INTO log_leaves SELECT * REPLACE (
    (SELECT max(SHA256({_FALSE})) FROM event_log WHERE kafka_offset = 25) AS digest
) FROM log_leaves WHERE kafka_offset = 25
"""
TRUE_ROW = "DELETE FROM event_log WHERE position(record, '\"number\":25') > 0"
TRUE_LEAF = (
    "DELETE FROM log_leaves WHERE kafka_offset = 25"
    " AND digest NOT IN (SELECT SHA256(record) FROM event_log WHERE kafka_offset = 25)"
)


class Site(WorkerSite):
    """Where workers prove what they store, and an auditor verifies it."""

    proof = ProofConfig(log_name=LOG_NAME)

    def begin(self, folder: Path) -> None:
        """Make the log's key and policy."""
        key = log_key(folder)
        public = base64.b64encode(read_key_file(Path(key.key_file)).public_key).decode()
        policy = Policy(log_name=LOG_NAME, version=1, log_keys=(LogKey(public_key=public),))
        with ClickHouse(self.database) as clickhouse:
            store_policy(clickhouse, policy, note_signed(policy.text, OWNER, owner_name(LOG_NAME)))
        pin = base64.b64encode(OWNER.public_key).decode()
        self.proof = ProofConfig(log_name=LOG_NAME, key_file=key.key_file, owner_key=pin)

    def worker(self) -> Worker:
        """Start one, and wait until records can flow."""
        started = self.start(proof_log_name=LOG_NAME, proof_key_file=self.proof.key_file)
        started.wait_until_ready()
        return started

    def left_unsigned(self) -> None:
        """Have a worker sign the first 20 records of partition 0, store and commit 30, and be killed."""
        events = some_events(30)
        started = self.start(RELUCTANT, proof_log_name=LOG_NAME, proof_key_file=self.proof.key_file)
        started.wait_until_ready()
        self.send([event.record for event in events[:20]])
        eventually(lambda: self.signed_size() == 20, "a checkpoint")
        self.send([event.record for event in events[20:]])
        started.wait_for("records_stored_total", 30)
        started.wait_for("log_leaves/0", 30)
        started.end(signal.SIGKILL)
        assert self.signed_size() == 20

    def signed_size(self) -> int:
        """Return how many leaves the newest checkpoint of partition 0 has."""
        return int(
            self.rows("SELECT max(size) FROM log_checkpoints WHERE kafka_partition = 0")[0][0]
        )

    def incidents(self) -> set[str]:
        """Return the kinds of all incidents."""
        return {str(kind) for (kind,) in self.rows("SELECT DISTINCT kind FROM event_incidents")}

    def verify(self) -> Report:
        """Do every duty but those that need anchors kept somewhere."""
        with ClickHouse(self.database) as clickhouse:
            return verify(clickhouse, proof=self.proof, without=frozenset({"anchors"}))

    @contextmanager
    def load(self) -> Generator[None]:
        """Emit events all the while."""
        done = threading.Event()
        numbers = count()

        def emit() -> None:
            while not done.wait(0.02):
                self.emit(
                    [
                        AuditEvent(
                            type="message_sent", session_id=f"s-{n % 7}", data={"n": next(numbers)}
                        )
                        for n in range(5)
                    ]
                )

        thread = threading.Thread(target=emit)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.fixture
def here(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[Site]:
    """Return a fresh topic and database with a policy, and a folder for workers to run in."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    site = Site(kafka, database, folder)
    try:
        site.begin(tmp_path)
        yield site
    finally:
        site.close()


def said(report: Report) -> str:
    """Return what a report says, for the message of a test."""
    lines = [
        f"{each.duty}: {each.kind} at {each.place}: {each.meaning}" for each in report.findings
    ]
    lines += [f"{duty.name}: {reason}" for duty in report.duties for reason in duty.reasons]
    return "; ".join(lines) or "nothing"


def test_a_worker_that_runs_is_intact_at_any_moment_and_one_that_was_killed_is_no_finding(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load each run is intact; what a killed worker left unsigned cannot be checked until another signs it."""
    worker = here.worker()
    with here.load():
        worker.wait_for("records_stored_total", 50)
        for _ in range(3):
            report = here.verify()
            assert report.verdict is Outcome.INTACT, said(report)
        worker.end(signal.SIGKILL)
    monkeypatch.setattr(tails, "SIGNED_WITHIN_SECONDS", 1.0)
    report = here.verify()
    assert report.findings == (), said(report)
    here.worker()

    def is_intact() -> bool:
        report = here.verify()
        assert report.findings == (), said(report)
        return report.verdict is Outcome.INTACT

    eventually(is_intact, "what the killed worker left signed by the next one")


def test_what_was_stored_before_there_were_logs_is_named_and_no_finding(here: Site) -> None:
    """Rows from before have no leaves: the first worker signs that there is nothing below, and nobody has tampered."""
    worker = here.worker()
    here.emit([AuditEvent(type="message_sent", session_id=f"s-{n}") for n in range(50)])
    worker.wait_for("records_stored_total", 50)
    assert worker.end() == 0
    with ClickHouse(here.database) as clickhouse:
        for table in ("log_leaves", "log_nodes", "log_checkpoints"):
            clickhouse.command(f"TRUNCATE TABLE {table}")
    worker = here.worker()
    eventually(lambda: here.count("log_checkpoints") == 4, "a checkpoint of each log")
    assert worker.end() == 0
    report = here.verify()
    assert report.findings == (), said(report)
    assert report.verdict is Outcome.COULD_NOT_CHECK, said(report)


def test_what_a_killed_worker_has_not_signed_is_read_again_from_kafka(here: Site) -> None:
    """Nothing was touched: the next worker signs all of it, no event is there twice, and there is no alarm."""
    here.left_unsigned()
    here.worker()
    eventually(lambda: here.signed_size() == 30, "all of it signed")
    report = here.verify()
    assert report.verdict is Outcome.INTACT, said(report)
    assert here.incidents() == set()
    assert here.count() == 30


def test_what_was_changed_before_anybody_signed_it_is_not_signed(here: Site) -> None:
    """A row and its leaf are exchanged while no worker runs: the next one signs what Kafka has, and tells."""
    here.left_unsigned()
    with ClickHouse(here.database) as clickhouse:
        for statement in (FALSE_ROW, FALSE_LEAF, TRUE_ROW, TRUE_LEAF):
            clickhouse.command(statement)
    worker = here.worker()
    eventually(lambda: here.signed_size() == 30, "all of it signed")
    eventually(lambda: "contradicted" in here.incidents(), "an incident")
    found = {(each.kind, each.place.first_offset) for each in here.verify().findings}
    assert ("two_leaves", 25) in found
    assert "says another record than Kafka has" in worker.log


def test_who_takes_every_checkpoint_away_has_nothing_signed_of_his(here: Site) -> None:
    """Kafka has it all: the log is made anew of it, and is what it was."""
    here.left_unsigned()
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("TRUNCATE TABLE log_checkpoints")
    here.worker()
    eventually(lambda: here.signed_size() == 30, "all of it signed")
    report = here.verify()
    assert report.verdict is Outcome.INTACT, said(report)
    with ClickHouse(here.database) as clickhouse:
        assert {generation for _, _, generation in found_logs(clickhouse)} == {"1"}


def test_what_nobody_signed_and_kafka_lost_is_found(here: Site) -> None:
    """The log goes on as a new generation above it, whose worker says so; verify finds what nobody vouches for."""
    here.left_unsigned()
    admin = AdminClient(here.kafka.client_options())
    place = TopicPartition(here.kafka.topic, 0, 27)
    admin.delete_records([place])[place].result(DEADLINE_SECONDS)
    worker = here.worker()
    here.send([event.record for event in some_events(3)])
    eventually(lambda: here.signed_size() == 33, "what follows signed")
    report = here.verify()
    assert {(each.kind, each.place.first_offset) for each in report.findings} == {("uncovered", 20)}
    assert here.incidents() == {"unproven"}
    assert "nothing vouches for them" in worker.log
