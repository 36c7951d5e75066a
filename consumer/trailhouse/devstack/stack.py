"""The whole stack on this machine: Kafka, ClickHouse and a worker over one data folder."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import msgspec

from trailhouse.devstack.clickhouse import answers, clickhouse_part
from trailhouse.devstack.client_files import (
    NETRC_FILE,
    SETTINGS_FILE,
    defaults_of,
    password_of,
    settings_of,
    write_client_files,
)
from trailhouse.devstack.control import ControlServer, write_state
from trailhouse.devstack.data_folder import DATA_DIR_VARIABLE, DataFolder
from trailhouse.devstack.download_progress import show_download
from trailhouse.devstack.kafka import Kafka
from trailhouse.devstack.landlock import landlock_version
from trailhouse.devstack.part import Part, PartStatus
from trailhouse.devstack.ports import HOST, Ports, check_free
from trailhouse.devstack.supervisor import Supervisor
from trailhouse.schemas.errors import StackError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.settings import variable_of

if TYPE_CHECKING:
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store.config import ClickHouseConfig

PartName = Literal["kafka", "clickhouse", "worker"]
PART_NAMES: tuple[PartName, ...] = get_args(PartName)
_WORKER_STOP_SECONDS = 30.0
_UNCONFINED = (
    "ClickHouse is not confined on this system, which has no Landlock (Linux 5.19 or newer):"
    " whoever has its password can read and write your files by SQL"
)


def _nothing(_kafka: KafkaConfig, _clickhouse: "ClickHouseConfig", _proof: "ProofConfig") -> None:
    """Make nothing: for a stack whose user makes topic and tables."""


class DevStack:
    """Kafka, ClickHouse and a worker, kept running until the end of a ``with`` block.

    ::

        with DevStack(Path("data"), set_up=set_up) as stack:
            subprocess.run(["pytest"], env=os.environ | stack.environment())

    Entering returns when every part answers and the topic and the tables are there. A part that
    dies is started again. Leaving ends the worker (which drains), then Kafka and ClickHouse.

    Args:
        data_dir: Where the parts keep their data; one stack a folder.
        ports: Where they listen; free ports by default.
        parts: Which of them to run.
        set_up: Makes topic and tables before a worker starts: `trailhouse.operate.first_setup.set_up`.
            Handed in, so that the stack depends on no part that it runs.
        echo: Takes one line a change of state.

    Raises:
        StackError: On entering: a part does not start, a port or the folder is taken, a package is
            missing, the disk is full. Permanent; nothing is left running.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        ports: Ports | None = None,
        parts: Sequence[PartName] = PART_NAMES,
        set_up: "Callable[[KafkaConfig, ClickHouseConfig, ProofConfig], object]" = _nothing,
        echo: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._folder = DataFolder(data_dir)
        self._given_ports = ports
        self._names = tuple(parts)
        self._set_up = set_up
        self._echo = echo
        self._supervisor: Supervisor | None = None
        self._control: ControlServer | None = None
        self._password = ""  # made or read once the folder is held
        self._proof: dict[str, object] = {}  # likewise
        self.ports = ports or Ports()

    @property
    def data_dir(self) -> Path:
        """Where the parts keep their data."""
        return self._folder.path

    @property
    def settings_file(self) -> Path:
        """Settings that reach this stack, password included, for `TRAILHOUSE_CONFIG_FILE`; ours alone to read."""
        return self.data_dir / SETTINGS_FILE

    @property
    def netrc_file(self) -> Path:
        """The password for ``curl --netrc-file``; ours alone to read."""
        return self.data_dir / NETRC_FILE

    def __enter__(self) -> Self:
        # Held for as long as the stack runs: two of them on one folder would destroy its data.
        self._folder.take()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """Every ``TRAILHOUSE_`` variable that a program needs to use this stack, and this stack alone."""
        return settings_of(self._kafka_config(), self._clickhouse_config()) | {
            "TRAILHOUSE_PRODUCER_SPOOL_DIR": str(self.data_dir / "spool"),
            "TRAILHOUSE_WORKER_WEB_HOST": HOST,
            "TRAILHOUSE_WORKER_WEB_PORT": str(self.ports.worker),
            DATA_DIR_VARIABLE: str(self.data_dir),
            **{variable_of("proof", key): str(value) for key, value in self._proof.items()},
        }

    def stop(self, part: PartName) -> None:
        """End one part and return when it has ended; it stays so until `start`.

        Raises:
            StackError: It is none of this stack's parts, or cannot be stopped. Permanent.
        """
        supervisor = self._running(part)
        supervisor.stop(part)
        supervisor.wait_stopped(part)
        self._write_state()

    def start(self, part: PartName) -> None:
        """Start one part and return when it is ready.

        Raises:
            StackError: It is none of this stack's parts, or does not start. Permanent.
        """
        supervisor = self._running(part)
        supervisor.start(part)
        supervisor.wait_ready(part)
        self._write_state()

    def status(self) -> list[PartStatus]:
        """What each part is doing now; empty outside the ``with`` block."""
        return self._supervisor.status() if self._supervisor else []

    def kill(self) -> None:
        """End every part at once, without draining; returns at once."""
        if self._supervisor:
            self._supervisor.kill_all()

    def close(self) -> None:
        """End the parts in order, worker first, and let the data folder go. Does nothing the second time."""
        try:
            if self._control:
                self._control.close()
            if self._supervisor:
                # The worker first: it drains what it has read, and needs both for that.
                groups = (("worker",), ("kafka", "clickhouse"))
                self._supervisor.close(
                    [name for name in group if name in self._names] for group in groups
                )
        finally:
            self._control = self._supervisor = None
            self._folder.release()

    def _start(self) -> None:
        self.ports = self._given_ports or Ports.free()
        self._password = password_of(self.data_dir)
        self._proof = self._proof_settings()
        # All of them before any part is started: half a stack helps nobody.
        for name in self._names:
            check_free(name, getattr(self.ports, name))
        kafka = Kafka(self._folder.of("kafka"), self.ports.kafka, self._folder.log("kafka"))
        makers: dict[str, Callable[[], Part]] = {
            "kafka": kafka.part,
            "clickhouse": self._clickhouse,
            "worker": self._worker,
        }
        write_client_files(self.data_dir, self.environment(), HOST)
        if "clickhouse" in self._names and not landlock_version():
            self._echo(_UNCONFINED)
        self._supervisor = Supervisor([makers[name]() for name in self._names], self._echo)
        self._control = ControlServer(self._act)
        if "clickhouse" in self._names:
            # Before Kafka's jars are fetched: it comes up meanwhile.
            self._supervisor.start("clickhouse")
        if "kafka" in self._names:
            with show_download("Kafka") as progress:
                kafka.prepare(progress, self._echo)
            self._supervisor.start("kafka")
        for name in ("kafka", "clickhouse"):
            if name in self._names:
                self._supervisor.wait_ready(name)
        if "worker" in self._names:
            # Before the worker: it would wait for its tables and say that it is not ready.
            self._set_up(self._kafka_config(), self._clickhouse_config(), self._proof_config())
            self._supervisor.start("worker")
            self._supervisor.wait_ready("worker")
        self._write_state()

    def _kafka_config(self) -> KafkaConfig:
        # Whatever the user has set for a real cluster must not be asked of this one.
        given = {"bootstrap_servers": f"{HOST}:{self.ports.kafka}", "replication": 1}
        return msgspec.convert(defaults_of("kafka") | given, KafkaConfig)

    def _clickhouse_config(self) -> "ClickHouseConfig":
        # The processes of the parts import this module too, and need no client of ClickHouse.
        from trailhouse.store.config import ClickHouseConfig

        url = f"http://{HOST}:{self.ports.clickhouse}"
        given = {"url": url, "password": self._password}
        return msgspec.convert(defaults_of("clickhouse") | given, ClickHouseConfig)

    def _proof_settings(self) -> dict[str, object]:
        # The processes of the parts import this module too, and need no keys.
        from trailhouse.devstack.proof_files import proof_settings

        return proof_settings(self.data_dir)

    def _proof_config(self) -> "ProofConfig":
        from trailhouse.devstack.proof_files import proof_config

        return proof_config(self._proof)

    def _clickhouse(self) -> Part:
        return clickhouse_part(
            self._folder.of("clickhouse"),
            self.ports.clickhouse,
            self._folder.log("clickhouse"),
            self._password,
        )

    def _worker(self) -> Part:
        return Part(
            name="worker",
            port=self.ports.worker,
            command=lambda: [sys.executable, "-P", "-m", "trailhouse.cli", "worker"],
            is_ready=lambda: answers(f"http://{HOST}:{self.ports.worker}/health"),
            log=self._folder.log("worker"),
            environment=self.environment() | {"PYTHONSAFEPATH": "1"},
            stop_seconds=_WORKER_STOP_SECONDS,
        )

    def _running(self, part: PartName) -> Supervisor:
        if self._supervisor is None:
            raise StackError("the stack does not run")
        if part not in self._names:
            raise StackError(f"this stack has no part {part}: it has {', '.join(self._names)}")
        return self._supervisor

    def _act(self, request: dict[str, Any]) -> dict[str, Any]:
        action, part = request.get("action"), request.get("part")
        if action == "status":
            return self._state()
        if action in ("stop", "start") and part in PART_NAMES:
            (self.stop if action == "stop" else self.start)(part)
            return self._state()
        raise StackError(f"the stack does not know how to {action} {part}")

    def _state(self) -> dict[str, Any]:
        parts = {
            part.name: {"state": str(part.state), "pid": part.pid, "port": part.port}
            for part in self.status()
        }
        return {
            "data_dir": str(self.data_dir),
            "settings_file": str(self.settings_file),
            "pid": os.getpid(),
            "parts": parts,
        }

    def _write_state(self) -> None:
        if self._control:
            write_state(
                self._folder.state_file, self._state() | {"control": self._control.address()}
            )
