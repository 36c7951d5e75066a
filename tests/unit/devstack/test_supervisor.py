"""Parts are kept as they are wanted, and die when the program that keeps them does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from trailhouse.devstack import parent_death
from trailhouse.devstack.part import Part, PartState
from trailhouse.devstack.supervisor import Supervisor, last_line
from trailhouse.schemas.errors import StackError
from waiting import eventually

DEADLINE_SECONDS = 120.0
SLEEPS = "import threading; threading.Event().wait()"
IGNORES_SIGTERM = (
    f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); {SLEEPS}"
)


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Kept:
    """A supervisor of one Python script and the lines it has said."""

    def __init__(
        self,
        folder: Path,
        script: str,
        is_ready: Callable[[], bool] = lambda: True,
        stop_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.lines: list[str] = []
        part = Part(
            name="part",
            port=1,
            command=lambda: [
                sys.executable,
                "-c",
                f"import os; os.chdir({str(folder)!r}); {script}",
            ],
            is_ready=is_ready,
            log=folder / "part.log",
            stop_seconds=stop_seconds,
            start_seconds=DEADLINE_SECONDS,
        )
        self.supervisor = Supervisor([part], self.lines.append)

    def state(self) -> PartState:
        """What the part is doing."""
        return self.supervisor.status()[0].state

    def pid(self) -> int:
        """The part's process, which must run."""
        pid = self.supervisor.status()[0].pid
        assert pid is not None, "the part must run"
        return pid

    def start(self) -> None:
        """Start the part and wait until it is ready."""
        self.supervisor.start("part")
        self.supervisor.wait_ready("part")

    def stop(self) -> None:
        """Stop the part and wait until it has ended."""
        self.supervisor.stop("part")
        self.supervisor.wait_stopped("part")


Keep = Callable[..., Kept]


@pytest.fixture
def keep(tmp_path: Path) -> Generator[Keep]:
    """Return a maker of supervisors that are closed at the end."""
    made: list[Kept] = []

    def make(script: str, *arguments: Any, **named: Any) -> Kept:
        made.append(Kept(tmp_path, script, *arguments, **named))
        return made[-1]

    yield make
    for kept in made:
        kept.supervisor.close([["part"]])


def test_a_part_starts_and_stops(keep: Keep) -> None:
    """`wait_ready` returns while it runs, `wait_stopped` when it has ended."""
    kept = keep(SLEEPS)
    kept.start()
    pid = kept.pid()
    assert (kept.state(), is_gone(pid)) == (PartState.READY, False)
    kept.stop()
    assert (kept.state(), is_gone(pid)) == (PartState.STOPPED, True)


def test_a_part_that_dies_is_started_again(keep: Keep) -> None:
    """A death that nobody asked for is said in one line and mended; a stop is not."""
    kept = keep(SLEEPS)
    kept.start()
    first = kept.pid()
    os.kill(first, signal.SIGKILL)
    eventually(
        lambda: any(
            part.state is PartState.READY and part.pid not in {None, first}
            for part in kept.supervisor.status()
        ),
        "the part must come back",
    )
    assert [line for line in kept.lines if "ended by itself (signal 9)" in line]
    kept.stop()
    said = len(kept.lines)
    threading.Event().wait(1.0)  # longer than the pause before a restart
    assert (kept.state(), len(kept.lines)) == (PartState.STOPPED, said)


def test_a_ready_part_has_a_process(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks while a death is being noticed is told of what was, or of what comes next, and of no mix."""
    kept = keep(SLEEPS)
    kept.start()
    first = kept.pid()
    seen: list[tuple[PartState, bool]] = []

    def look(log: Path) -> str:
        [part] = kept.supervisor.status()
        seen.append((part.state, part.pid is None))
        return last_line(log)

    monkeypatch.setattr("trailhouse.devstack.supervisor.last_line", look)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: seen, "the death to be noticed")
    assert seen[0] == (PartState.READY, False)
    eventually(
        lambda: kept.state() is PartState.READY and kept.pid() != first, "the part must come back"
    )


def test_a_part_that_waits_to_be_started_again_can_be_stopped(keep: Keep) -> None:
    """Between a death and the next start there is nothing to end, and stopping returns at once."""
    kept = keep("import sys; sys.exit(1)", lambda: False)
    kept.supervisor.start("part")
    eventually(lambda: kept.state() is PartState.WAITING, "the part must wait for its next start")
    kept.stop()
    assert kept.state() is PartState.STOPPED


def test_ready_is_not_said_of_a_part_that_has_just_died(keep: Keep) -> None:
    """Waiting for a part right after its death waits for the new one."""
    kept = keep(SLEEPS)
    kept.start()
    first = kept.pid()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: is_gone(first), "the part must be dead")
    kept.supervisor.wait_ready("part")
    assert kept.pid() != first


def test_a_part_that_never_starts_fails_with_its_last_words(keep: Keep) -> None:
    """After three deaths before it was ever ready a part is given up, and the error says what it said."""
    kept = keep("import sys; sys.exit('no such luck')", lambda: False)
    with pytest.raises(StackError, match="no such luck"):
        kept.start()
    assert kept.state() is PartState.FAILED


def test_a_failed_part_can_be_started_again(keep: Keep, tmp_path: Path) -> None:
    """A part that was given up starts anew when it is asked for."""
    kept = keep(
        "import pathlib, sys, threading; pathlib.Path('go').exists() or sys.exit(1); threading.Event().wait()",
        lambda: (tmp_path / "go").exists(),
    )
    with pytest.raises(StackError):
        kept.start()
    (tmp_path / "go").touch()
    kept.start()
    assert kept.state() is PartState.READY


def test_a_part_that_does_not_end_is_killed(keep: Keep, tmp_path: Path) -> None:
    """A part that ignores SIGTERM is killed after its time, and that is said."""
    kept = keep(IGNORES_SIGTERM, lambda: (tmp_path / "ready").exists(), stop_seconds=0.5)
    kept.start()
    kept.stop()
    assert kept.state() is PartState.STOPPED
    assert [line for line in kept.lines if "is killed" in line]


def test_a_paused_part_can_be_stopped(keep: Keep) -> None:
    """A part that somebody paused still ends when it is asked to."""
    kept = keep(SLEEPS)
    kept.start()
    os.kill(kept.pid(), signal.SIGSTOP)
    kept.stop()
    assert not [line for line in kept.lines if "is killed" in line]


def test_kill_all_waits_for_nobody(keep: Keep, tmp_path: Path) -> None:
    """`kill_all` ends even a part that ignores SIGTERM at once."""
    kept = keep(IGNORES_SIGTERM, lambda: (tmp_path / "ready").exists())
    kept.start()
    pid = kept.pid()
    kept.supervisor.kill_all()
    kept.supervisor.wait_stopped("part")
    assert is_gone(pid)


def test_it_sleeps_while_its_part_runs(keep: Keep, tmp_path: Path) -> None:
    """Nothing is looked at again and again: a death, a wish or a time wakes it."""
    others = set(threading.enumerate())  # a cluster that runs for other tests has a supervisor too
    kept = keep(
        f"import pathlib, threading; threading.Event().wait(1.5); pathlib.Path('later').touch(); {SLEEPS}"
    )
    kept.start()
    ours = set(threading.enumerate()) - others
    (number,) = (each.native_id for each in ours if each.name == "supervisor")
    status = Path(f"/proc/self/task/{number}/status")

    def wakes() -> int:
        return int(status.read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0])

    before = wakes()
    eventually((tmp_path / "later").exists, "the part must run for a while")
    assert wakes() - before <= 5, "expected a supervisor that is asleep"


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    """The last line that says something, and nothing for a log that is not there."""
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nsecond\n\n  \n")
    assert last_line(log) == "second"


PARENT = """
import os, subprocess, sys, threading
bond, program = sys.argv[1:]
child = subprocess.Popen(
    [sys.executable, "-c", bond, str(os.getpid()), "9", sys.executable, "-c", program], stdout=subprocess.PIPE
)
print(child.stdout.readline().decode().strip(), flush=True)
threading.Event().wait()
"""
PROGRAM = f"import os; print(os.getpid(), flush=True); {SLEEPS}"


@pytest.mark.parametrize("platform", ["linux", "other"])
def test_a_program_dies_with_its_parent(platform: str) -> None:
    """A killed parent takes its program along: by the kernel, or by watching elsewhere."""
    bond = (
        f"import runpy, sys; sys.platform = {platform!r};"
        f"runpy.run_path({parent_death.__file__!r}, run_name='__main__')"
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, bond, PROGRAM], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not is_gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: is_gone(pid), "the program must end with its parent")


def test_a_program_whose_parent_is_gone_already_does_not_start() -> None:
    """The bond is checked after it is made: a parent that died in between takes the program along."""
    done = subprocess.run(
        [
            sys.executable,
            str(parent_death.__file__),
            "1",
            "9",
            sys.executable,
            "-c",
            "print('started')",
        ],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
