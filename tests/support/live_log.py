"""A log as its operator has it: keys and policy in files, made and changed by the commands alone, workers beside it."""

import base64
import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster import Cluster
from trailhouse.cli.main import main
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.anchor import parse_anchor
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from worker_process import Worker, WorkerSite

LOG = "log.example.org/rotated"


class LiveLog(WorkerSite):
    """Workers, their log, and an auditor."""

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

    def verify(self, **how: Any) -> Report:
        """Do every duty; *how* as `verify` has it."""
        with ClickHouse(self.database) as clickhouse:
            return verify(clickhouse, proof=self.proof, anchors=self.proof.anchors, **how)

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
) -> Iterator[LiveLog]:
    """Return a fresh topic and database with a log of which `proof init` has made keys and policy."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    (tmp_path / "anchors").mkdir()
    site = LiveLog(kafka, database, folder)
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
