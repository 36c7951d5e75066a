"""A stage for one fault: a topic, a database, workers and producers that fail on command, the oracle."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import mechanisms
import weakened_tables
from cluster import Cluster
from faulty_programs import Failpoint, at, program
from load_program import Options
from oracle import Oracle, Seen
from trailhouse.devstack import DevStack, PartName
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually
from worker_process import RUN_WORKER, Worker, WorkerSite

RUN_SMALL = f"faulty_programs.read_in_small_pieces()\n{RUN_WORKER}"
RUN_LOAD = "import load_program; load_program.main()"


class LoadProcess:
    """A running producer; its output is kept in a file."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, history: Path
    ) -> None:
        self.history = history
        self._output = output
        with output.open("ab") as out:
            self.process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._output.read_text()

    @property
    def taken(self) -> int:
        """How many events it was told are taken."""
        return self.history.read_text().count("\nok ") if self.history.exists() else 0

    def forget_output(self) -> None:
        """Remove what it has written: there may be hundreds of them."""
        self._output.unlink()

    def wait_for(self, events: int) -> None:
        """Wait until it was told that *events* are taken."""
        eventually(lambda: self.taken >= events, f"{events} events taken, output: {self._output}")

    def end(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Have it close its logger and exit; it must exit with 0."""
        self.process.send_signal(signal.SIGUSR1)
        code = self.process.wait(seconds)
        assert code == 0, f"expected a producer that exits with 0, got {code}: {self.output[-500:]}"

    def kill(self) -> None:
        """End it without any chance to tidy up, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)


class Scene:
    """What a fault test works with. Workers have small batches, so that there are many of them."""

    def __init__(
        self, kafka: KafkaConfig, database: ClickHouseConfig, folder: Path, oracle: Oracle
    ) -> None:
        self.place = WorkerSite(kafka, database, folder)
        self.oracle = oracle
        self.folder = folder.parent
        self.kafka = kafka
        self.spools = folder.parent / "spools"
        self.loads: list[LoadProcess] = []
        self._number = 0

    def worker(
        self,
        *failpoints: Failpoint,
        consumer_options: Mapping[str, object] | None = None,
        body: str = "",
        **settings: object,
    ) -> Worker:
        """Start a worker with *failpoints*, after *body*; settings such as ``worker_batch_rows=10``."""
        text = program(f"{body}\n{RUN_SMALL}", failpoints, consumer_options)
        worker = self.place.start(
            text, **({"worker_batch_rows": 200} | settings | mechanisms.settings("worker"))
        )
        self.oracle.pids.add(worker.process.pid)
        return worker

    def load(
        self,
        *failpoints: Failpoint,
        settings: Mapping[str, object] | None = None,
        name: str = "s",
        **options: Any,
    ) -> LoadProcess:
        """Start a producer under load; *options* as `load_program.Options`."""
        history = self.folder / f"{name}.history"
        return self.run_producer(
            RUN_LOAD,
            msgspec.json.encode(Options(history=str(history), prefix=name, **options)).decode(),
            failpoints=failpoints,
            settings=settings,
            history=history,
        )

    def run_producer(
        self,
        body: str,
        *arguments: str,
        failpoints: Sequence[Failpoint] = (),
        settings: Mapping[str, object] | None = None,
        history: Path | None = None,
        wrapper: Sequence[str] = (),
    ) -> LoadProcess:
        """Start the program *body* with the producer's settings."""
        self._number += 1
        path = history or self.folder / f"program{self._number}.history"
        command = [*wrapper, sys.executable, "-c", program(body, failpoints), *arguments]
        load = LoadProcess(
            command,
            self.producer_environment(**(settings or {})),
            self.folder / f"producer{self._number}.out",
            path,
        )
        self.oracle.histories.add(path)
        self.oracle.pids.add(load.process.pid)
        self.loads.append(load)
        return load

    def producer_environment(self, **settings: object) -> dict[str, str]:
        """Return the variables of one producer; settings such as ``producer_fsync="never"``."""
        named: dict[str, object] = {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka_topic": self.kafka.topic,
            "producer_spool_dir": self.spools,
        }
        wanted = named | settings | mechanisms.settings("producer")
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")
        }
        return kept | {f"TRAILHOUSE_{name}".upper(): str(value) for name, value in wanted.items()}

    def emit(self, events: Sequence[AuditEvent]) -> None:
        """Put *events* into the topic, acknowledged, and have the oracle expect them."""
        self.place.emit(events)
        self.oracle.expect(events)

    def offline(self, calls: int = 1_000_000_000) -> Failpoint:
        """Return a failpoint: a producer that spools, and hands nothing to the broker, *calls* times."""
        return at(
            "trailhouse.producer.delivery.sender:Sender.send_waiting", "instead", "skip", last=calls
        )

    def start_and_end_a_logger(self, *, finds_damage: bool = False) -> None:
        """Start a producer that logs nothing: it sends what dead ones have left, and says what it cannot."""
        body = (
            "from trailhouse.producer import AuditLogger; a = AuditLogger(); a.flush(60); a.close()"
        )
        adopter = self.run_producer(body)
        code = adopter.process.wait(DEADLINE_SECONDS)
        if finds_damage:
            assert "damaged" in adopter.output, (
                f"expected a word about the damage: {adopter.output}"
            )
        else:
            assert code == 0, f"expected all sent, got: {adopter.output[-500:]}"

    def spooled_folders(self) -> list[Path]:
        """Return the spools that are not settled; one that a kill has left unmade holds no event."""
        found = [path.parent for path in self.spools.glob("*/lock")]
        return [path for path in found if not path.name.startswith((".", "quarantine"))]

    def committed(self) -> int:
        """Return the sum of the committed offsets."""
        return self.oracle.committed()

    def settle(self, seconds: float = DEADLINE_SECONDS, *, has_order: bool = True) -> list[Seen]:
        """Judge what has become of everything; see `Oracle.judge`."""
        return self.oracle.judge(seconds, has_order=has_order)

    def settle_records(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Judge as `settle` does, for records that no history tells of."""
        self.oracle.judge(seconds, has_history=False, has_order=False)

    def command(self, sql: str) -> None:
        """Run a statement."""
        with ClickHouse(self.place.database) as clickhouse:
            clickhouse.command(sql)

    def delete_records(self, partition: int, before: int) -> None:
        """Have Kafka forget the records before an offset, as its retention does."""
        admin = AdminClient(self.kafka.client_options())
        part = TopicPartition(self.kafka.topic, partition, before)
        for future in admin.delete_records([part]).values():
            future.result(DEADLINE_SECONDS)

    def close(self) -> None:
        """End every process."""
        for load in self.loads:
            load.kill()
        for worker in self.place.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
        self.place.close()


def stack_of(cluster: Cluster) -> DevStack:
    """Return the stack whose parts can be stopped."""
    if cluster.stack is None:
        pytest.skip("parts of containers are not stopped by these tests")
    return cluster.stack


def pid_of(stack: DevStack, name: PartName) -> int:
    """Return the process of a part, once it has one: it may just be starting again."""
    found: list[int] = []

    def has_pid() -> bool:
        found[:] = [part.pid for part in stack.status() if part.name == name and part.pid]
        return bool(found)

    eventually(has_pid, f"a process of {name}")
    return found[0]


def numbered(count: int, start: int = 0, sessions: int = 4) -> list[AuditEvent]:
    """Return events whose number grows with their place."""
    return [
        AuditEvent(type="message_sent", session_id=f"s{number % sessions}", data={"n": number})
        for number in range(start, start + count)
    ]


def is_stopped(process: "subprocess.Popen[bytes]") -> bool:
    """Tell whether a process is stopped by a signal."""
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def pause(seconds: float) -> None:
    """Let a fault last; for faults that are a length of time and nothing to wait for."""
    threading.Event().wait(seconds)


@contextmanager
def scene(kafka: KafkaConfig, database: ClickHouseConfig, folder: Path) -> Generator[Scene]:
    """Return a scene under the oracle's eyes; its processes are gone after the block."""
    cwd = folder / "cwd"
    cwd.mkdir()
    weakened_tables.prepare_database(database)
    with Oracle(kafka, database, f"{kafka.topic}-group", folder) as oracle:
        stage = Scene(kafka, database, cwd, oracle)
        try:
            yield stage
        finally:
            stage.close()
