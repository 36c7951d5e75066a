"""Keys of a log change while its workers run: rotated and revoked by the commands, on a real broker and real tables."""

import base64
import json
import os
import random
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest

from bundle_checkers import codes_of_both
from cluster import Cluster
from proof_logs import found_logs
from trailhouse.cli.main import main
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.anchor import parse_anchor
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import fingerprint
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import Worker, WorkerSite, some_events

pytestmark = [pytest.mark.cluster, pytest.mark.long]

LOG = "log.example.org/rotated"
KILLS = int(os.environ.get("ROTATION_KILLS", "4"))
SEED = int(os.environ.get("SEED", "22"))


class Site(WorkerSite):
    """A log as its operator has it: keys and policy in files, made by the commands alone."""

    def begin(self, folder: Path, pin: str) -> None:
        """Note where its files are."""
        self.files = folder
        self.proof = ProofConfig(
            log_name=LOG,
            key_file=str(folder / "log.pem"),
            owner_key=pin,
            policy_file=str(folder / "policy"),
            anchors=f"folder:{folder / 'anchors'}",
        )

    def worker(self, key: str = "log.pem") -> Worker:
        """Start one that signs by *key*."""
        return self.start(
            proof_log_name=LOG,
            proof_key_file=self.files / key,
            proof_owner_key=self.proof.owner_key,
            proof_policy_file=self.proof.policy_file,
            proof_anchors=self.proof.anchors,
            proof_anchor_seconds=1,
            worker_batch_rows=40,
        )

    def change(self, *arguments: str) -> None:
        """Change the policy by a command of `trailhouse proof`, as the owner."""
        assert main(["proof", *arguments, "--owner-key", str(self.files / "owner.pem")]) == 0

    def rotate(self, key: str) -> None:
        """Have a new key follow."""
        self.change("rotate", "--new-key", str(self.files / key))

    @property
    def owner_public(self) -> bytes:
        """The key that an auditor pins."""
        return base64.b64decode(self.proof.owner_key)

    def keep_elsewhere(self) -> None:
        """Have anchors kept in another folder from now on: the one has some of a revoked key."""
        folder = self.files / "anchors-2"
        folder.mkdir()
        self.proof = msgspec.structs.replace(self.proof, anchors=f"folder:{folder}")

    def signed_size(self) -> int:
        """Return how many leaves the newest checkpoint of partition 0 has."""
        sql = "SELECT max(size) FROM log_checkpoints WHERE kafka_partition = 0"
        return int(self.rows(sql)[0][0])

    def anchored_sizes(self) -> set[int]:
        """Return all sizes that anchors have."""
        anchors = [parse_anchor(text)[0] for (text,) in self.rows("SELECT anchor FROM log_anchors")]
        return {checkpoint.size for anchor in anchors for checkpoint in anchor.checkpoints}

    def anchors(self) -> int:
        """Return the number of the last anchor."""
        return int(self.rows("SELECT max(number) FROM log_anchors")[0][0])

    def verify(self) -> Report:
        """Do every duty."""
        with ClickHouse(self.database) as clickhouse:
            return verify(clickhouse, proof=self.proof, anchors=self.proof.anchors)

    def is_intact(self) -> bool:
        """Tell whether all is intact; a finding fails at once, what cannot be checked yet is asked again."""
        report = self.verify()
        assert report.findings == (), said(report)
        return report.verdict is Outcome.INTACT

    @contextmanager
    def load(self) -> Generator[None]:
        """Emit events all the while."""
        done, numbers = threading.Event(), count()

        def emit() -> None:
            while not done.wait(0.02):
                number = next(numbers)
                self.emit(
                    [
                        AuditEvent(type="message_sent", session_id=f"s-{n}", data={"n": number})
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


def said(report: Report) -> str:
    """Return what a report says, for the message of a test."""
    lines = [
        f"{each.duty}: {each.kind} at {each.place}: {each.meaning}" for each in report.findings
    ]
    lines += [f"{duty.name}: {reason}" for duty in report.duties for reason in duty.reasons]
    return "; ".join(lines) or "nothing"


@pytest.fixture
def here(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Site]:
    """Return a fresh topic and database with a log of which `proof init` has made keys and policy."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    (tmp_path / "anchors").mkdir()
    site = Site(kafka, database, folder)
    environment = cluster.environment(database=database.database, topic=kafka.topic)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    files = [
        f"--{option}={tmp_path / name}"
        for option, name in (("owner-key", "owner.pem"), ("key", "log.pem"), ("policy", "policy"))
    ]
    assert main(["proof", "init", LOG, *files, "--anchor-seconds", "1", "--format", "json"]) == 0
    site.begin(tmp_path, json.loads(capsys.readouterr().out)["owner_public_key"])
    for name, value in {
        "LOG_NAME": LOG,
        "KEY_FILE": site.proof.key_file,
        "OWNER_KEY": site.proof.owner_key,
        "POLICY_FILE": site.proof.policy_file,
        "ANCHORS": site.proof.anchors,
    }.items():
        monkeypatch.setenv(f"TRAILHOUSE_PROOF_{name}", str(value))
    assert main(["proof", "publish", str(tmp_path / "policy")]) == 0
    try:
        yield site
    finally:
        site.close()


def test_a_key_is_rotated_while_workers_run(here: Site) -> None:
    """Under load, by the command: workers with the old and the new key share the topic, and nothing is told."""
    old = here.worker()
    with here.load():
        old.wait_for("records_stored_total", 100)
        eventually(lambda: here.anchors() > 0, "an anchor")
        here.rotate("new.pem")
        old.wait_for("records_stored_total", 200)
        new = here.worker("new.pem")
        new.wait_for("records_stored_total", 50)
        assert old.end() == 0, old.log[-2000:]
        before = new.series()["records_stored_total"]
        new.wait_for("records_stored_total", before + 100)
    eventually(here.is_intact, "all of it signed by the new key")
    assert new.end() == 0, new.log[-2000:]


def test_a_worker_that_was_not_started_again_after_a_rotation_is_named(here: Site) -> None:
    """What it signs by the old key alone could not be checked, with the way out; whoever takes that away is found."""
    old = here.worker()
    here.send([event.record for event in some_events(20)])
    eventually(lambda: here.signed_size() == 20, "a checkpoint")
    here.rotate("new.pem")
    here.send([event.record for event in some_events(10)])
    eventually(lambda: here.signed_size() == 30, "a checkpoint by the old key")
    eventually(lambda: 30 in here.anchored_sizes(), "an anchor of it")
    assert old.end() == 0, old.log[-2000:]
    report = here.verify()
    assert report.findings == (), said(report)
    assert "start the workers again with the new key" in said(report)
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("CREATE TABLE kept AS log_checkpoints")
        clickhouse.command("INSERT INTO kept SELECT * FROM log_checkpoints")
        clickhouse.command("DELETE FROM log_checkpoints WHERE size = 30")
        assert {each.kind for each in here.verify().findings} == {"uncovered"}
        clickhouse.command("INSERT INTO log_checkpoints SELECT * FROM kept")
    here.worker("new.pem")
    eventually(here.is_intact, "all of it signed by the new key")


def test_a_log_that_begins_with_such_a_worker_is_named_too(here: Site) -> None:
    """A partition's first records come after the rotation: no valid key has ever signed there, and nothing is false."""
    old = here.worker()
    here.send([event.record for event in some_events(20)])
    eventually(lambda: here.signed_size() == 20, "a checkpoint")
    here.rotate("new.pem")
    here.send([event.record for event in some_events(10)], partition=1)
    eventually(lambda: 10 in here.anchored_sizes(), "an anchor of it")
    assert old.end() == 0, old.log[-2000:]
    report = here.verify()
    assert report.findings == (), said(report)
    assert "/1: its end, offsets 0 to 9, is signed by a key alone" in said(report)
    with ClickHouse(here.database) as clickhouse:
        clickhouse.command("CREATE TABLE kept AS log_checkpoints")
        clickhouse.command("INSERT INTO kept SELECT * FROM log_checkpoints")
        clickhouse.command("DELETE FROM log_checkpoints WHERE kafka_partition = 1")
        assert {each.kind for each in here.verify().findings} == {"unsigned_log"}
        clickhouse.command("INSERT INTO log_checkpoints SELECT * FROM kept")
    here.worker("new.pem")
    eventually(here.is_intact, "all of it signed by the new key")


def test_of_a_key_revoked_while_its_worker_runs_counts_what_was_anchored(here: Site) -> None:
    """The next one reads again from Kafka what no anchor before the theft holds: nothing is lost, nothing told."""
    old = here.worker()
    with here.load():
        old.wait_for("records_stored_total", 100)
        eventually(lambda: here.anchors() > 2, "anchors after the theft")
        here.change(
            "revoke", "--log-key", "--last-anchor", "1", "--new-key", str(here.files / "new.pem")
        )
        old.wait_for("records_stored_total", 200)
        old.end(signal.SIGKILL)
        report = here.verify()
        assert report.findings == (), said(report)
        here.keep_elsewhere()
        new = here.worker("new.pem")
        new.wait_for("records_stored_total", 100)
    eventually(here.is_intact, "all of it signed by the new key")
    assert new.end() == 0, new.log[-2000:]


def test_workers_are_killed_while_keys_rotate(here: Site) -> None:
    """Another joins under load each time; one root a size, every event once, and a bundle that both checkers prove."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    keys = ["log.pem"]
    running = [here.worker()]
    with here.load():
        for number in range(KILLS):
            running.append(here.worker(keys[-1]))
            if chance.random() < 0.3:
                keys.append(f"log-{number}.pem")
                here.rotate(keys[-1])
            running[-1].wait_for("records_stored_total", chance.randint(1, 60))
            running.pop(0).end(signal.SIGKILL)
    running[0].end(signal.SIGKILL)
    last = here.worker(keys[-1])
    last.wait_until_ready()
    eventually(here.is_intact, "all of it signed by the last key", 2 * DEADLINE_SECONDS)
    with ClickHouse(here.database) as clickhouse:
        assert {generation for _, _, generation in found_logs(clickhouse)} == {"1"}
    bundle = here.files / "some.zip"
    assert main(["export", "session:s-1", "--bundle", str(bundle)]) == 0
    assert codes_of_both([bundle.read_bytes()], fingerprint(here.owner_public)) == [(0, 0)]
