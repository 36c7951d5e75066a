"""A worker as users run it, a process of its own, and what its tests ask it, Kafka and ClickHouse."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from free_ports import free_port
from trailhouse.consumer.monitoring.metrics import PREFIX
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.schemas.topic import key_of
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

RUN_WORKER = "import sys; from trailhouse.consumer import run_worker; sys.exit(run_worker())"


class Series(dict[str, float]):
    """Series by name; NaN for one that is not there yet, which equals nothing and is not above anything."""

    def __missing__(self, name: str) -> float:
        return math.nan


class Worker:
    """One running worker process; its output is kept in files of *folder*."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.port = int(environment["TRAILHOUSE_WORKER_WEB_PORT"])
        self._log_path = folder.parent / f"{folder.name}.{self.port}.{time.monotonic_ns()}.err"
        self._out_path = self._log_path.with_suffix(".out")
        with self._log_path.open("wb") as log, self._out_path.open("wb") as out:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=out, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log_path.read_text()

    @property
    def output(self) -> str:
        """What it has written to standard output."""
        return self._out_path.read_text()

    def health(self) -> tuple[int, Any]:
        """Return status and body of /health; status 0 when nobody answers."""
        status, body = self._get("/health")
        return status, json.loads(body) if body else None

    def is_ready(self) -> bool:
        """Whether /health answers 200."""
        return self.health()[0] == 200

    def series(self) -> "Series":
        """Return every series of /metrics by its name and labels, without the histograms' buckets."""
        return Series(
            ("/".join((sample.name.removeprefix(PREFIX), *sample.labels.values())), sample.value)
            for family in text_string_to_metric_families(self._get("/metrics")[1])
            for sample in family.samples
            if not sample.name.endswith("_bucket")
        )

    def wait_until_ready(self) -> None:
        """Wait until records can flow."""
        eventually(self.is_ready, f"a ready worker, log: {self._log_path}")

    def wait_for(self, name: str, value: float) -> None:
        """Wait until the series *name* has reached *value*."""
        eventually(
            lambda: self.series().get(name, 0) >= value, f"{name} of {value}, log: {self._log_path}"
        )

    def end(
        self, number: signal.Signals = signal.SIGTERM, seconds: float = DEADLINE_SECONDS
    ) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it without any chance to tidy up, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


class WorkerSite:
    """A topic, a database and a folder, and the workers that a test starts there."""

    def __init__(self, kafka: KafkaConfig, database: ClickHouseConfig, folder: Path) -> None:
        self.kafka = kafka
        self.database = database
        self.folder = folder
        self.workers: list[Worker] = []
        # One connection for all looks: to open one takes both sides longer than most questions.
        self._clickhouse = ClickHouse(database)

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.kill()
        self._clickhouse.close()

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the variables of one worker, with a free port; settings such as worker_batch_rows=10."""
        named = {
            "kafka_bootstrap_servers": self.kafka.bootstrap_servers,
            "kafka_topic": self.kafka.topic,
            "clickhouse_url": self.database.url,
            "clickhouse_user": self.database.user,
            "clickhouse_password": self.database.password,
            "clickhouse_database": self.database.database,
            "worker_group_id": f"{self.kafka.topic}-group",
            "worker_web_port": free_port(),
            "worker_session_timeout_seconds": 6,
            "worker_freshness_seconds": 0.1,
        }
        ours = {
            f"TRAILHOUSE_{name}".upper(): str(value) for name, value in (named | settings).items()
        }
        return {
            name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")
        } | ours

    def start(self, program: str | Sequence[str] = RUN_WORKER, **settings: object) -> Worker:
        """Start a worker: a command, or the text of a Python program, `trailhouse worker` if not given."""
        command = [sys.executable, "-c", program] if isinstance(program, str) else list(program)
        worker = Worker(command, self.environment(**settings), self.folder)
        self.workers.append(worker)
        return worker

    def send(
        self, records: Sequence[bytes | None], *, key: bytes | None = b"k", partition: int = 0
    ) -> None:
        """Put *records* into one partition, in this order, acknowledged on return."""
        producer = Producer(
            self.kafka.client_options()
            | {"message.max.bytes": 2_000_000, "enable.idempotence": True}
        )
        for record in records:
            producer.produce(
                self.kafka.topic, record, key, partition, headers=[("h", b"\xff\x00"), ("n", None)]
            )
        assert producer.flush(DEADLINE_SECONDS) == 0, "expected an acknowledgement of every record"

    def emit(self, events: Sequence[AuditEvent]) -> None:
        """Put *events* into the topic by their keys, acknowledged on return."""
        producer = Producer(
            self.kafka.client_options()
            | {"partitioner": "murmur2_random", "enable.idempotence": True}
        )
        for event in events:
            producer.produce(self.kafka.topic, event.record, key_of(event))
        assert producer.flush(DEADLINE_SECONDS) == 0, "expected an acknowledgement of every event"

    def rows(self, sql: str, *bytes_columns: str) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        return self._clickhouse.query(sql, bytes_columns=bytes_columns).rows

    def count(self, table: str = "events") -> int:
        """Return how many rows a table or view has."""
        return int(cast("int", self.rows(f"SELECT count() FROM {table}")[0][0]))

    def stored_records(self) -> list[bytes]:
        """Return every record that a reader sees, sorted."""
        return sorted(record for (record,) in self.rows("SELECT record FROM events", "record"))


@contextmanager
def place(kafka: KafkaConfig, database: ClickHouseConfig, folder: Path) -> Generator[WorkerSite]:
    """Return a place whose workers are gone after the block."""
    here = WorkerSite(kafka, database, folder)
    try:
        yield here
    finally:
        here.close()


def some_events(count: int, sessions: int = 7) -> list[AuditEvent]:
    """Return *count* different events of several sessions."""
    return [
        AuditEvent(
            type="message_sent",
            session_id=f"session-{number % sessions}",
            run_id="r",
            data={"number": number},
        )
        for number in range(count)
    ]
