"""A fork in a signal handler in the middle of `log`, a disk that is full at any write, what an error holds."""

import errno
import gc
import itertools
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from interrupted_logger import Prepare, Scene, first, interrupted_at, next_segment, ordinary
from trailhouse.producer.delivery import process_hooks
from trailhouse.producer.spool.journal import Entry
from trailhouse.schemas.errors import EventTooLargeError

CHILD_IS_RIGHT = 0
DEADLINE_SECONDS = 120.0


def forked_at(scene: Scene, step: int) -> tuple[list[str], int]:
    """Log; a handler forks at the *step*-th line. Return where that was, and how the child has ended."""
    children: list[int] = []
    told = scene.folder / "child"
    before = len(scene.returned)
    try:
        with interrupted_at(step, lambda: children.append(os.fork()), "line") as where:
            scene.log("main")
        if children == [0]:
            scene.log("after")
            assert gc.isenabled()
            told.write_text("\n".join(scene.returned[before:]))
            os._exit(CHILD_IS_RIGHT)
    except BaseException:
        if children == [0]:
            os._exit(1)
        raise
    if not children:
        return where, CHILD_IS_RIGHT
    status = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
    if told.exists():
        scene.in_child = told.read_text().splitlines()
    return where, status


@pytest.mark.long
@pytest.mark.parametrize(("prepare", "stride"), [(first, 7), (ordinary, 3), (next_segment, 7)])
def test_a_fork_at_a_line_of_log(tmp_path: Path, prepare: Prepare, stride: int) -> None:
    """Wherever a handler forks, parent and child both log on, and neither takes what is the other's."""
    step = 0
    for step in itertools.count(0, stride):
        folder = tmp_path / str(step)
        folder.mkdir()
        scene = prepare(folder)
        try:
            where, status = forked_at(scene, step)
            if not where:
                break
            assert status == CHILD_IS_RIGHT, f"expected the child to log on after {where}"
            scene.log("after")
            scene.check_family()
        except BaseException as error:
            error.add_note(f"fork at step {step}")
            raise
        finally:
            scene.end()
    assert step > 60
    assert gc.isenabled()


def test_a_fork_within_a_fork_leaves_the_collector_on() -> None:
    """A signal handler that forks while a fork ends does not switch the garbage collector off for good."""
    lines = itertools.count()

    def trace(frame: Any, event: str, _arg: object) -> Any:
        if event == "line" and frame.f_code is process_hooks.after_fork_in_parent.__code__:
            next(lines)
            sys.settrace(None)
            if (child := os.fork()) == 0:
                os._exit(0)
            os.waitpid(child, 0)
            sys.settrace(trace)
        return trace

    for _ in range(2):
        sys.settrace(trace)
        try:
            child = os.fork()
            if child == 0:
                os._exit(0)
        finally:
            sys.settrace(None)
        os.waitpid(child, 0)

    assert next(lines) > 2, "expected the lines to be walked"
    assert gc.isenabled()


@pytest.mark.parametrize("taken_bytes", [0, 100])
@pytest.mark.parametrize("prepare", [ordinary, next_segment])
def test_a_disk_that_is_full_at_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, taken_bytes: int
) -> None:
    """Whichever write finds no room, and whatever part of it was taken: its caller waits, and no event suffers."""
    pwrite = os.pwrite
    for failing in range(6):
        folder = tmp_path / str(failing)
        folder.mkdir()
        scene = prepare(folder)
        count = itertools.count()
        is_full = [False]

        def write(
            fd: int, content: bytes, offset: int, failing: int = failing, count: Any = count, is_full: Any = is_full
        ) -> int:  # fmt: skip
            if is_full[0]:
                is_full[0] = False
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if len(content) < 100 or next(count) != failing:  # a note, or another event
                return pwrite(fd, content, offset)
            if not taken_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            is_full[0] = True
            return pwrite(fd, content[:taken_bytes], offset)

        monkeypatch.setattr(os, "pwrite", write)
        for _ in range(6):
            scene.log("event")
        monkeypatch.setattr(os, "pwrite", pwrite)
        scene.log("after")
        scene.check()
        scene.end()
        assert next(count) > failing, "expected a write that failed"


def test_threads_and_a_signal_handler_share_one_logger(tmp_path: Path) -> None:
    """Two threads log while a handler logs into the main thread's calls: all is there, once, in order."""
    scene = Scene(tmp_path, queue_events=50)

    def handle(*_: object) -> None:
        scene.logs()
        if is_on:  # not by itself: a busy machine would do nothing else
            signal.setitimer(signal.ITIMER_REAL, 0.0005)

    is_on = [True]
    before = signal.signal(signal.SIGALRM, handle)

    def log_many() -> None:
        for _ in range(300):
            scene.log("thread")

    threads = [threading.Thread(target=log_many) for _ in range(2)]
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        for thread in threads:
            thread.start()
        for _ in range(300):
            scene.log("main")
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
    finally:
        is_on.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert len(scene.returned) > 900, "expected the handler to have logged"
    scene.check()
    scene.end()


def test_a_kept_error_keeps_no_event(tmp_path: Path) -> None:
    """A program that keeps the error of one event does not keep all events that come after it."""
    others = sum(isinstance(each, Entry) for each in gc.get_objects())
    scene = Scene(tmp_path, queue_events=10, max_event_bytes=1_000)
    scene.log("before")
    with pytest.raises(EventTooLargeError) as kept:
        scene.audit.log("large", session_id="s", data={"text": "x" * 2_000})
    for _ in range(200):
        scene.log("after")

    alive = sum(isinstance(each, Entry) for each in gc.get_objects()) - others
    assert kept.value.__traceback__ is not None
    assert alive < 50, f"expected the newest entries alone, got {alive}"
    scene.end()
