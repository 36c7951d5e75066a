"""`trailhouse dev` in a process of its own, as a terminal would run it, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import waiting
from free_ports import free_ports
from trailhouse.devstack import ask_stack

DEADLINE_SECONDS = 180.0


TRAILHOUSE = [sys.executable, "-m", "trailhouse.cli"]


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until *condition* holds; fail with *what* was expected after the deadline."""
    waiting.eventually(condition, what, DEADLINE_SECONDS)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of every process that has to do with *folder*."""
    found: list[str] = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                command = (
                    (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                variables = (path / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command or str(folder) in variables:
                found.append(command)
    return found


def environment() -> dict[str, str]:
    """Return this process's variables without anything of ours."""
    return {name: text for name, text in os.environ.items() if not name.startswith("TRAILHOUSE_")}


class Dev:
    """One `trailhouse dev` in the foreground of its own process group, as a terminal would run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports()
        ports = [f"--{part}-port={port}" for part, port in self.ports._asdict().items()]
        self.errors = folder.with_suffix(".err")
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*TRAILHOUSE, "dev", "--data-dir", str(folder), *ports],
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                start_new_session=True,
            )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.decode() for line in self.process.stdout)

    def is_up(self) -> bool:
        """Whether it has said that it is up; fails when it has ended instead."""
        assert self.process.poll() is None, f"dev must stay up, but: {self.errors.read_text()}"
        return "Ctrl-C stops it.\n" in self.lines

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another `trailhouse` that acts on this stack."""
        return trailhouse("dev", *arguments, "--data-dir", str(self.folder))

    def sql(self, sql: str) -> bytes:
        """Run a statement on this stack's ClickHouse and return its answer."""
        password = (self.folder / "clickhouse-password").read_text().strip()
        return sql_of(f"http://127.0.0.1:{self.ports.clickhouse}/", password, sql)

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return what the running stack says of its parts."""
        parts: dict[str, dict[str, Any]] = ask_stack(self.folder / "state.json", "status")["parts"]
        return parts

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal to the whole group, as Ctrl-C does, and return the exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(DEADLINE_SECONDS)


def sql_of(url: str, password: str, sql: str) -> bytes:
    """Run a statement and return its answer."""
    request = urllib.request.Request(url, sql.encode(), {"X-ClickHouse-Key": password})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:  # noqa: S310 - http
        return bytes(answer.read())


def trailhouse(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a `trailhouse` to its end."""
    return subprocess.run(
        [*TRAILHOUSE, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=folder,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
