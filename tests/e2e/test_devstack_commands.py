"""`trailhouse dev -- COMMAND`: a stack for as long as a command runs, and nothing that outlives it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev_process import (
    DEADLINE_SECONDS,
    TRAILHOUSE,
    environment,
    eventually,
    processes_of,
    trailhouse,
)

pytestmark = [pytest.mark.cluster, pytest.mark.long]


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
