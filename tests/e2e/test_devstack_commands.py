"""`trailhouse dev -- COMMAND`: a stack for as long as a command runs, and nothing that outlives it."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from trailhouse.devstack import Ports, ask_stack

pytestmark = pytest.mark.cluster

DEADLINE_SECONDS = 180.0


TRAILHOUSE = [sys.executable, "-m", "trailhouse.cli"]


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until *condition* holds; fail with *what* was expected after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, (
            f"{what}, but it is not so after {DEADLINE_SECONDS:.0f} s"
        )
        threading.Event().wait(0.05)


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
        self.ports = Ports.free()
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


def test_a_command_gets_the_stack_and_gives_its_code(tmp_path: Path) -> None:
    """`dev -- COMMAND` runs in the current folder with every address set; output and exit code are the command's."""
    script = (
        "import os, pathlib, sys; print(pathlib.Path.cwd()); print(os.environ['TRAILHOUSE_DEV_DATA_DIR']);"
        "print(sorted(name for name in os.environ if name.startswith('TRAILHOUSE_'))); sys.exit(7)"
    )
    done = trailhouse("dev", "--", sys.executable, "-c", script, folder=tmp_path)
    assert done.returncode == 7, done.stderr
    where, data, names = done.stdout.splitlines()
    assert where == str(tmp_path)
    assert not Path(data).exists(), "the temporary data folder must be gone"
    assert "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS" in names
    assert "TRAILHOUSE_CLICKHOUSE_URL" in names
    assert list(tmp_path.iterdir()) == [], "nothing may be left in the current folder"
    assert processes_of(Path(data)) == []


def test_words_after_the_dashes_are_the_users_own(tmp_path: Path) -> None:
    """`dev -- status` runs the user's program of that name; ended by signal n, it gives exit code 128 + n."""
    program = tmp_path / "status"
    program.write_text('#!/bin/sh\necho mine "$@"\nkill -TERM $$\n')
    program.chmod(0o755)
    variables = environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*TRAILHOUSE, "dev", "--", "status", "--json"],
        capture_output=True,
        text=True,
        env=variables,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    code = 128 + signal.SIGTERM
    assert (done.returncode, done.stdout) == (code, "mine --json\n"), done.stderr


def test_a_missing_program_is_named() -> None:
    """A command that is not there ends with 127 before anything is started."""
    done = trailhouse("dev", "--", "no-such-program-anywhere")
    assert done.returncode == 127
    assert "no-such-program-anywhere" in done.stderr


def test_interrupting_a_command_ends_it_then_the_stack(tmp_path: Path) -> None:
    """Ctrl-C reaches the command, whose code is passed on, and nothing is left."""
    mark = tmp_path / "mark"
    script = (
        "import os, pathlib, signal, sys, threading;"
        f"pathlib.Path({str(mark)!r}).write_text(os.environ['TRAILHOUSE_DEV_DATA_DIR']);"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(9)); threading.Event().wait()"
    )
    process = subprocess.Popen(
        [*TRAILHOUSE, "dev", "--", sys.executable, "-c", script],
        env=environment(),
        start_new_session=True,
    )
    eventually(lambda: mark.exists() and mark.read_text() != "", "the command must run")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(DEADLINE_SECONDS) == 9
    assert processes_of(Path(mark.read_text())) == []
