"""`trailhouse dev` as its users meet it: real processes, real signals, nothing left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from dev_process import (
    DEADLINE_SECONDS,
    TRAILHOUSE,
    Dev,
    environment,
    eventually,
    processes_of,
    sql_of,
    trailhouse,
)
from trailhouse.devstack import DevStack, Ports
from trailhouse.devstack.part import PartState

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not fetched by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Generator[Dev]:
    """Return a running `trailhouse dev`, ended after the module's tests."""
    running = Dev(tmp_path_factory.mktemp("dev") / "data")
    try:
        eventually(running.is_up, "dev must come up")
        yield running
    finally:
        if running.process.poll() is None:
            running.end()
        if running.process.stdout:
            running.reader.join(DEADLINE_SECONDS)
            running.process.stdout.close()


def test_dev_says_where_everything_is_and_what_to_try(dev: Dev, tmp_path: Path) -> None:
    """Its output names the three addresses, and the three commands it prints do what they say."""
    text = "".join(dev.lines)
    for port in dev.ports:
        assert str(port) in text
    program = tmp_path / "trailhouse"
    program.write_text(f'#!/bin/sh\nexec {" ".join(TRAILHOUSE)} "$@"\n')
    program.chmod(0o755)
    try_out = text.split("another terminal")[1].split(":\n", 1)[1].split("\nCtrl-C")[0].splitlines()
    setting, emit, log, curl = (line.strip() for line in try_out)

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f"{setting}; {command}"],
            capture_output=True,
            text=True,
            env=environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    emitted = shell(emit)
    assert emitted.returncode == 0, emitted
    # Until the worker has stored it, the session has no events, which is said with code 1.
    eventually(lambda: "run_started" in shell(log).stdout, "the emitted event must be in the log")
    asked = shell(curl)
    assert (asked.returncode, "run_started\t1\n" in asked.stdout) == (0, True), asked


def test_every_part_answers(dev: Dev) -> None:
    """Kafka has the topic, ClickHouse the tables, the worker is healthy, and `status --format json` says so."""
    done = dev.ask("status", "--format", "json")
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)["parts"]
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(
        ("kafka", "clickhouse", "worker"), "ready"
    )
    assert {name: part["port"] for name, part in parts.items()} == dev.ports._asdict()
    assert all(is_alive(part["pid"]) for part in parts.values())
    with urllib.request.urlopen(
        f"http://127.0.0.1:{dev.ports.worker}/health", timeout=DEADLINE_SECONDS
    ) as health:
        assert health.status == 200
    assert b"event_log" in dev.sql("SHOW TABLES FROM trailhouse")


def test_the_engine_looks_at_its_memory_now_and_then(dev: Dev) -> None:
    """Each second and not each 50 ms, at which an idle engine does little else."""
    looks, seconds = dev.sql(
        "SELECT sum(value), uptime() FROM system.events WHERE event = 'MemoryWorkerRun'"
    ).split()
    assert 0 < int(looks) < 5 * (int(seconds) + 1)


def test_the_engine_reads_on_every_processor(dev: Dev) -> None:
    """On up to four at least: by default it plans a thread for each GB of free memory, and has two."""
    plan = dev.sql("EXPLAIN PIPELINE SELECT sum(number) FROM numbers_mt(100000000)").decode()
    planned = re.search(r"NumbersRange(?: × (\d+))?", plan)
    assert planned is not None, plan
    assert int(planned[1] or 1) >= min(4, len(os.sched_getaffinity(0))), plan


def test_status_gives_another_terminal_the_stack(dev: Dev) -> None:
    """The line that `dev status` prints is all that a program needs, password included, and has no password in it."""
    said = dev.ask("status").stdout
    [setting] = [line[line.index("export ") :] for line in said.splitlines() if "export " in line]
    assert (dev.folder / "clickhouse-password").read_text().strip() not in said
    done = subprocess.run(
        ["sh", "-c", f"{setting}; {' '.join(TRAILHOUSE)} init"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert dev.ports.clickhouse != Ports().clickhouse, "not found by its usual address"


@pytest.mark.parametrize("part", ["kafka", "clickhouse", "worker"])
def test_a_part_that_dies_is_started_again(dev: Dev, part: str) -> None:
    """A part that is killed comes back on its port, and one line says so."""
    before = dev.parts()[part]["pid"]
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        now = dev.parts()[part]
        return bool(now["state"] == "ready" and now["pid"] != before)

    eventually(is_back, f"{part} must come back")
    assert f"{part} ended by itself (signal 9)" in dev.errors.read_text()


@pytest.mark.parametrize("part", ["clickhouse", "kafka", "worker"])
def test_a_part_can_be_stopped_and_started(dev: Dev, part: str) -> None:
    """`dev stop` returns when the part has ended, which stays so; `dev start` when it is ready again."""
    pid = dev.parts()[part]["pid"]
    assert dev.ask("stop", part).returncode == 0
    assert not is_alive(pid)
    stopped = dev.parts()[part]
    assert (stopped["state"], stopped["pid"]) == ("stopped", None)
    assert dev.ask("start", part).returncode == 0
    started = dev.parts()[part]
    assert started["state"] == "ready"
    assert is_alive(started["pid"])


def test_a_paused_part_is_left_alone(dev: Dev) -> None:
    """Pausing a part from outside is not a death: it is neither started again nor declared dead."""
    pid = dev.parts()["clickhouse"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        threading.Event().wait(2.0)  # longer than a restart would take to show
        assert dev.parts()["clickhouse"] == {
            "state": "ready",
            "pid": pid,
            "port": dev.ports.clickhouse,
        }
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_second_stack_on_the_folder_is_refused(dev: Dev) -> None:
    """One folder, one stack: the second says so in one line and exits 1."""
    done = dev.ask()
    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr


def test_a_port_in_use_is_named(dev: Dev, tmp_path: Path) -> None:
    """A port that somebody listens on is named, with the way out, in one line."""
    done = trailhouse(
        "dev", "--data-dir", str(tmp_path / "other"), f"--kafka-port={dev.ports.kafka}"
    )
    assert done.returncode == 1
    assert f"port {dev.ports.kafka} for kafka is in use" in done.stderr
    assert "--kafka-port" in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr


def test_ctrl_c_ends_everything_and_the_data_survives(dev: Dev) -> None:
    """Ctrl-C exits 0 and leaves no process; the next start finds what was stored."""
    for sql in (
        "CREATE TABLE default.kept (a UInt8) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO default.kept VALUES (7)",
    ):
        dev.sql(sql)
    parts = dev.parts()
    assert dev.end(signal.SIGINT) == 0, dev.errors.read_text()
    assert [name for name, part in parts.items() if is_alive(part["pid"])] == []
    assert processes_of(dev.folder) == []
    done = trailhouse(
        "dev",
        "--data-dir",
        str(dev.folder),
        "--",
        "sh",
        "-c",
        'curl -sS -u "default:$TRAILHOUSE_CLICKHOUSE_PASSWORD"'
        ' "$TRAILHOUSE_CLICKHOUSE_URL/?query=SELECT+a+FROM+default.kept"',
    )
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


def test_nothing_outlives_a_killed_stack(tmp_path: Path) -> None:
    """`kill -9` of the stack itself takes every part with it."""
    script = (
        "import pathlib, sys, threading; from trailhouse.devstack import DevStack\n"
        f"with DevStack(pathlib.Path({str(tmp_path / 'data')!r}), parts=('kafka', 'clickhouse')) as stack:\n"
        "    print(*(part.pid for part in stack.status()), flush=True); threading.Event().wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    process.stdout.close()
    assert len(pids) == 2
    process.kill()
    process.wait()
    eventually(
        lambda: not any(is_alive(pid) for pid in pids), "the parts must end with their stack"
    )


def test_a_killed_clickhouse_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """`kill -9` while rows are being inserted: every acknowledged row is there when it comes back."""
    with DevStack(tmp_path / "data", parts=("clickhouse",)) as stack:
        variables = stack.environment()
        ask = partial(
            sql_of,
            variables["TRAILHOUSE_CLICKHOUSE_URL"],
            variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"],
        )

        ask(
            "CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS fsync_after_insert = 1"
        )
        for round_number in range(3):
            before = stack.status()[0].pid
            acknowledged = _insert_until_killed(stack, ask, round_number)
            eventually(partial(is_back, stack, before), "ClickHouse must come back")
            stored = {int(line) for line in ask("SELECT a FROM default.t").split()}
            assert acknowledged <= stored, (
                f"missing after the kill: {sorted(acknowledged - stored)[:5]}"
            )


def is_back(stack: DevStack, before: int | None) -> bool:
    """Whether the first part is ready again, in another process than *before*."""
    part = stack.status()[0]
    return part.state is PartState.READY and part.pid != before


def _insert_until_killed(
    stack: DevStack, ask: Callable[[str], bytes], round_number: int
) -> set[int]:
    acknowledged: set[int] = set()
    pid = stack.status()[0].pid
    assert pid is not None

    def kill_soon() -> None:
        eventually(lambda: len(acknowledged) > 20, "rows must be acknowledged before the kill")
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_soon)
    killer.start()
    try:
        for number in range(1_000_000):
            value = round_number * 1_000_000 + number
            ask(f"INSERT INTO default.t VALUES ({value})")
            acknowledged.add(value)
    except (OSError, ConnectionError):
        pass
    killer.join()
    return acknowledged


def test_a_port_taken_meanwhile_is_told(tmp_path: Path) -> None:
    """Entering a stack whose port is taken raises before anything is started."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        ports = Ports.free()._replace(clickhouse=held.getsockname()[1])
        with (
            pytest.raises(Exception, match="for clickhouse is in use"),
            DevStack(tmp_path / "data", ports=ports),
        ):
            pytest.fail("the stack must not start")
    assert processes_of(tmp_path) == []
