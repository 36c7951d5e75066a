"""`verify` in every way beside workers that are killed, keys that rotate, erasures, replays and rebuilds: no finding.

Some seconds by default; ``STORM_SECONDS=900`` tries more, ``SEED`` draws other acts.
"""

import os
import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from live_log import LiveLog, here, said
from trailhouse.cli.main import main
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import Kept
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas.errors import ProducerClosedError
from trailhouse.store import ClickHouse
from waiting import eventually
from worker_process import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.long]

__all__ = ["here"]

SECONDS = float(os.environ.get("STORM_SECONDS", "12"))
SEED = int(os.environ.get("SEED", "32"))
PAUSE_SECONDS = float(os.environ.get("STORM_PAUSE", "3"))
"""Between two acts at most; a worker that is killed again before it stores anything holds up its partitions."""
SETTLED_SECONDS = 600.0
"""By then all that the last killed worker has left is stored and signed: of a long storm a look takes minutes."""
UNEXPECTED = "it ended by an unexpected"
TABLES = (
    "event_log", "event_index", "event_usage", "log_leaves", "log_checkpoints", "batch_ledger", "event_standings",
    "seal_checks", "log_anchors",
)  # fmt: skip


class Storm:
    """What goes on while `verify` runs: one act after the other, drawn by a seed."""

    def __init__(self, log: LiveLog, seed: int) -> None:
        self.log = log
        self.draw = random.Random(seed)  # noqa: S311 - a seed, so that acts come again
        self.acts: list[str] = []
        self.keys = ["log.pem"]
        self.workers: list[Worker] = [log.worker()]
        self._number = 0
        self._loggers: dict[str, AuditLogger] = {}
        self._lock = threading.Lock()
        self._tenants = ("a", "b")
        self._numbers = 0
        operator = ["proof", "key", str(log.files / "ops.pem")]
        assert main(operator) == 0
        log.change("operator", "ops", "--key", str(log.files / "ops.pem"))
        for service in ("agents", "tools"):
            assert main(["proof", "key", str(log.files / f"{service}.pem")]) == 0
            log.change(
                "enroll", service, "--key", str(log.files / f"{service}.pem"), "--all-tenants"
            )

    def act(self) -> None:
        """Do one thing that operators do, or that befalls workers."""
        acts = (
            self.kill, self.kill, self.kill, self.end, self.join, self.rotate, self.erase, self.erase, self.hold,
            self.replay, self.rebuild, self.init, self.merge, self.seals, self.anchor, self.policy, self.close_logger,
            self.reapply, self.write,
        )  # fmt: skip
        chosen = self.draw.choice(acts)
        self.acts.append(f"{time.time():.1f} {chosen.__name__}")
        chosen()

    def logger(self, service: str) -> AuditLogger:
        """Return the logger of *service*."""
        with self._lock:
            if service not in self._loggers:
                key = self.log.files / f"{service}.pem"
                self._loggers[service] = AuditLogger(
                    ProducerConfig(
                        kafka=self.log.kafka,
                        service=service,
                        spool_dir=str(self.log.files / "spools" / service),
                        seal_key_file=str(key) if key.exists() else "",
                        seal_events=20,
                        linger_seconds=0.0,
                    )
                )
            return self._loggers[service]

    @contextmanager
    def load(self) -> Generator[None]:
        """Log all the while."""
        done = threading.Event()

        def emit() -> None:
            while not done.wait(0.02):
                for service in ("agents", "tools", "legacy"):
                    self._numbers += 1
                    n = self._numbers
                    with_cost = {"input_tokens": n, "cost_usd": 0.25} if n % 3 else {}
                    try:
                        self.logger(service).log(
                            "token_usage_updated" if n % 3 else "message_sent",
                            session_id=f"s{n // 40 % 50}",
                            tenant_id=self._tenants[n // 40 % 2],
                            run_id="r",
                            data={"n": n, **with_cost},
                        )
                    except (
                        ProducerClosedError
                    ):  # closed meanwhile: the next event is the next logger's
                        self._numbers -= 1

        thread = threading.Thread(target=emit)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            for each in self._loggers.values():
                each.close()

    def _command(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        code = main([*arguments])
        assert code in codes, f"{arguments}: {code}"

    def _by_operator(self) -> list[str]:
        return [
            "--reason",
            "asked for",
            "--operator",
            "ops",
            "--operator-key",
            str(self.log.files / "ops.pem"),
        ]

    def kill(self) -> None:
        """Kill a worker; another starts."""
        worker = self.workers.pop(0)
        worker.end(signal.SIGKILL)
        self.join()

    def end(self) -> None:
        """End a worker in order; another starts."""
        worker = self.workers.pop(0)
        worker.end()
        self.join()

    def join(self) -> None:
        """Start one, and end the third."""
        self.workers.append(self.log.worker(self.keys[-1]))
        while len(self.workers) > 2:
            self.workers.pop(0).end(signal.SIGKILL)
        if self.draw.random() < 0.5:
            self.workers[-1].wait_until_ready()

    def rotate(self) -> None:
        """Rotate the key; workers follow."""
        self._number += 1
        self.keys.append(f"log-{self._number}.pem")
        self.log.rotate(self.keys[-1])
        os.environ["TRAILHOUSE_PROOF_KEY_FILE"] = str(self.log.files / self.keys[-1])
        for worker in self.workers:
            worker.end(self.draw.choice((signal.SIGKILL, signal.SIGTERM)))
        self.workers = []
        self.join()

    def _session(self) -> str:
        return f"s{self.draw.randrange(50)}"

    def erase(self) -> None:
        """Erase a session."""
        self._number += 1
        certificate = str(self.log.files / f"erasure-{self._number}")
        how = (
            ["--session", self._session()]
            if self.draw.random() < 0.7
            else ["--text", f'"n":{self.draw.randrange(max(self._numbers, 1))},']
        )
        self._command(
            "erase",
            *how,
            *self._by_operator(),
            "--certificate",
            certificate,
            "--yes",
            codes=(0, 1, 2),
        )

    def reapply(self) -> None:
        """Erase again."""
        self._command("erase", "--reapply", codes=(0, 1))

    def hold(self) -> None:
        """Hold a session and lift it again."""
        session = self._session()
        self._command("hold", "--session", session, *self._by_operator())
        self._command("hold", "--session", session, "--lift", *self._by_operator())

    def replay(self) -> None:
        """Read some of Kafka again."""
        self._command("replay", "--partition", str(self.draw.randrange(4)), codes=(0, 1))

    def rebuild(self) -> None:
        """Make index and usage anew."""
        self._command("rebuild", *(["--anew"] if self.draw.random() < 0.6 else []), codes=(0, 1))

    def init(self) -> None:
        """Run `init` again."""
        self._command("init")

    def seals(self) -> None:
        """Judge seals by the command."""
        self._command("proof", "seals", codes=(0, 1))

    def anchor(self) -> None:
        """Anchor by the command."""
        self._command("proof", "anchor", codes=(0, 1))

    def policy(self) -> None:
        """Make a newer policy."""
        self._tenants = ("a", f"b{self._number}")
        self.log.change("require", "--anchor-seconds", str(self.draw.choice((1, 2))))

    def close_logger(self) -> None:
        """Close a logger, whose last seal comes; another one follows."""
        with self._lock:
            closed = self._loggers.pop(self.draw.choice(("agents", "tools", "legacy")), None)
        if closed is not None:
            closed.close()

    def merge(self) -> None:
        """Merge a table."""
        self._sql(f"OPTIMIZE TABLE {self.draw.choice(TABLES)} FINAL")

    def write(self) -> None:
        """Write every part of a table anew."""
        self._sql(
            f"ALTER TABLE {self.draw.choice(TABLES)} DELETE WHERE false SETTINGS mutations_sync = 2"
        )

    def _sql(self, statement: str) -> None:
        with ClickHouse(self.log.database) as clickhouse:
            clickhouse.command(statement)


class Auditor(threading.Thread):
    """Verifies in one way after another, until it is told to end."""

    def __init__(self, log: LiveLog) -> None:
        super().__init__()
        self._log = log
        self._done = threading.Event()
        self.runs = 0
        self.wrong: list[str] = []
        self.verdicts: Counter[Outcome] = Counter()
        self._kept: dict[LogId, Kept] = {}
        self._ways: tuple[Callable[[], dict[str, Any]], ...] = (
            dict,
            lambda: {"since": self._kept},
            lambda: {"quick": True},
            lambda: {"scope": Scope(session_id="s3")},
            dict,
            lambda: {"since": self._kept},
            lambda: {"scope": Scope(tenant_id="a")},
        )

    def run(self) -> None:
        """Verify again and again."""
        while not self._done.is_set():
            how = self._ways[self.runs % len(self._ways)]()
            began = time.time()
            try:
                report = self._log.verify(**how)
            except Exception:  # noqa: BLE001 - it ends a thread, and must not be lost
                self.wrong.append(f"{began:.1f} {list(how)}: {traceback.format_exc()}")
                continue
            self.runs += 1
            self._judge(report, f"{began:.1f} to {time.time():.1f}, {list(how)}")

    def _judge(self, report: Report, when: str) -> None:
        text = said(report)
        self.verdicts[report.verdict] += 1
        if report.findings or UNEXPECTED in text or report.verdict is Outcome.FOUND:
            self.wrong.append(f"{when}: {text}")
        self._kept |= {each.log: each for each in report.kept}

    def end(self) -> None:
        """Wait for the run at hand."""
        self._done.set()
        self.join()


def test_whatever_workers_and_operators_do_meanwhile_nothing_is_found(
    here: LiveLog, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each run is intact, or could not check the end that a killed worker has left; in the end all is intact."""
    storm = Storm(here, SEED)
    auditor = Auditor(here)
    with storm.load():
        storm.workers[0].wait_for("records_stored_total", 50)
        auditor.start()
        try:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until and not auditor.wrong:
                storm.act()
                capsys.readouterr()
                time.sleep(storm.draw.random() * PAUSE_SECONDS)
        finally:
            auditor.end()
    assert not auditor.wrong, f"{auditor.wrong}; {storm.acts}"
    storm.join()
    try:
        eventually(here.is_intact, "all of it signed", SETTLED_SECONDS)
    except AssertionError as error:
        error.add_note(f"could not be checked: {said(here.verify())}; {storm.acts}")
        raise
    assert auditor.verdicts.total() == auditor.runs > 0
