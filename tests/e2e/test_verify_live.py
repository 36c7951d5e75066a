"""`verify` beside a worker that runs, and after one that was killed: what is on its way is no finding."""

import base64
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from made_keys import made_key
from proven import LOG_NAME, log_key
from trailhouse.operate.verify import tails
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import note_signed, read_key_file
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy
from waiting import eventually
from worker_process import Worker, WorkerSite

pytestmark = pytest.mark.cluster

OWNER = made_key(21)


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
