"""Run `trailhouse` commands as a user does: in a process of their own, with settings from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from free_ports import free_port
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS

PROGRAM = (sys.executable, "-m", "trailhouse.cli")


def settings_of(kafka: KafkaConfig, clickhouse: ClickHouseConfig) -> dict[str, str]:
    """Return the variables that make a command use this topic and this database."""
    return {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
        "TRAILHOUSE_KAFKA_PARTITIONS": str(kafka.partitions),
        "TRAILHOUSE_CLICKHOUSE_URL": clickhouse.url,
        "TRAILHOUSE_CLICKHOUSE_USER": clickhouse.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": clickhouse.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": clickhouse.database,
        "TRAILHOUSE_WORKER_GROUP_ID": f"worker-of-{kafka.topic}",
    }


def run_command(
    *arguments: str, settings: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end; what it printed is bytes."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(settings),
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


@contextmanager
def running_worker(settings: Mapping[str, str]) -> Generator[None]:
    """Run a worker for the time of the block; it must drain and exit with 0."""
    web = {"TRAILHOUSE_WORKER_WEB_PORT": str(free_port())}
    with subprocess.Popen(
        [*PROGRAM, "worker"], env=environment({**settings, **web}), stderr=subprocess.DEVNULL
    ) as worker:
        try:
            yield
        finally:
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(DEADLINE_SECONDS)
    assert code == 0, f"the worker was to drain and exit with 0, it exited with {code}"


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, plain text output, and *settings* as the only ones."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    return own | {"NO_COLOR": "1"} | dict(settings or {})


def one_error(result: subprocess.CompletedProcess[bytes]) -> str:
    """Return the error line of a command that failed with exit code 1."""
    assert result.returncode == 1, result
    line = result.stderr.decode().splitlines()[-1]
    assert line.startswith("error: "), result.stderr
    return line
