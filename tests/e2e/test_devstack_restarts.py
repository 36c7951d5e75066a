"""The dev stack's ClickHouse starts on its folder after every kind of end, as often as it has to."""

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from trailhouse.devstack import DevStack
from trailhouse.devstack.part import PartState
from waiting import eventually

pytestmark = pytest.mark.cluster

RESTARTS = 3
DEADLINE_SECONDS = 180.0
TABLES = ("default.kept", "own.kept")


class Running:
    """A stack of ClickHouse alone, whose starts and ends are listened to."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.stack = DevStack(folder, parts=("clickhouse",), echo=self.lines.append)

    def ask(self, sql: str) -> str:
        """Run a statement and return its answer."""
        variables = self.stack.environment()
        request = urllib.request.Request(  # noqa: S310 - http
            variables["TRAILHOUSE_CLICKHOUSE_URL"],
            sql.encode(),
            {"X-ClickHouse-Key": variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"]},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310 - http
            return str(answer.read().decode())

    @property
    def pid(self) -> int:
        """The process of now."""
        pid = self.stack.status()[0].pid
        assert pid is not None
        return pid

    def is_back(self, before: int) -> bool:
        """Whether it is ready in another process than *before*."""
        part = self.stack.status()[0]
        return part.state is PartState.READY and part.pid != before

    def deaths(self) -> list[str]:
        """What was said of ends that nobody asked for."""
        return [line for line in self.lines if "ended by itself" in line]


@pytest.fixture
def running(tmp_path: Path) -> Generator[Running]:
    """Return ClickHouse with a table in a database of its own, and one in `default`."""
    made = Running(tmp_path / "data")
    with made.stack:
        made.ask("CREATE DATABASE own")
        for table in TABLES:
            made.ask(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
        yield made


def test_it_starts_after_every_stop(running: Running) -> None:
    """Stopped while rows are written and started again, it has every acknowledged row, and never dies by itself."""
    for number in range(RESTARTS):
        acknowledged = insert_until_it_ends(
            running, number, lambda: running.stack.stop("clickhouse")
        )
        running.stack.start("clickhouse")
        check_rows(running, acknowledged)
    assert running.deaths() == []


@pytest.mark.long
def test_it_starts_after_every_kill(running: Running) -> None:
    """Killed while rows are written it comes back on its folder, at the first attempt."""
    for number in range(RESTARTS):
        pid = running.pid
        insert_until_it_ends(running, number, partial(os.kill, pid, signal.SIGKILL))
        eventually(partial(running.is_back, pid), "ClickHouse must come back")
        for table in TABLES:
            assert int(running.ask(f"SELECT count() FROM {table}")) >= 0
    assert len(running.deaths()) == RESTARTS, running.deaths()
    assert all("signal 9" in line for line in running.deaths()), running.deaths()


def insert_until_it_ends(
    running: Running, number: int, end: Callable[[], object]
) -> dict[str, set[int]]:
    """Write rows into each table from threads of their own; return what was acknowledged before the end."""
    acknowledged: dict[str, set[int]] = {table: set() for table in TABLES}

    def insert(table: str) -> None:
        for row in range(number * 1_000_000, (number + 1) * 1_000_000):
            try:
                running.ask(f"INSERT INTO {table} VALUES ({row})")
            except (OSError, urllib.error.URLError):
                return
            acknowledged[table].add(row)

    threads = [threading.Thread(target=insert, args=(table,)) for table in TABLES]
    for thread in threads:
        thread.start()
    eventually(lambda: all(len(rows) > 5 for rows in acknowledged.values()), "rows must be stored")
    end()
    for thread in threads:
        thread.join()
    return acknowledged


def check_rows(running: Running, acknowledged: dict[str, set[int]]) -> None:
    """Compare what is stored with what was acknowledged."""
    for table, rows in acknowledged.items():
        stored = {int(line) for line in running.ask(f"SELECT a FROM {table}").split()}
        assert rows <= stored, f"missing in {table}: {sorted(rows - stored)[:5]}"
