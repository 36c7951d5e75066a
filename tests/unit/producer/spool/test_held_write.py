"""How a frame is written: without giving Python's lock away where threads log at once and the disk is quick."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from trailhouse.producer.clock import SYSTEM_CLOCK
from trailhouse.producer.spool import held_write
from trailhouse.producer.spool.held_write import SLOW_SECONDS, HeldWrite

Pwrite = Callable[[int, bytes, int, int], int]


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_seconds = 100.0
        self.clock = SYSTEM_CLOCK._replace(monotonic_seconds=lambda: self.now_seconds)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which way each write went."""
    noted: list[str] = []
    make, usual = held_write.c_pwrite, os.pwrite

    def made() -> Pwrite | None:
        held = make()
        assert held is not None, "expected a C library with pwrite"

        def write(fd: int, content: bytes, size: int, offset: int) -> int:
            noted.append("held")
            return held(fd, content, size, offset)

        return write

    def given_away(fd: int, content: bytes, offset: int) -> int:
        noted.append("given away")
        return usual(fd, content, offset)

    monkeypatch.setattr(held_write, "c_pwrite", made)
    monkeypatch.setattr(os, "pwrite", given_away)
    return noted


def test_threads_that_meet_write_with_the_lock_held(tmp_path: Path, ways: list[str]) -> None:
    """One thread alone gives Python's lock away for each write; from when two have met it is kept, same bytes."""
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write = HeldWrite()
    assert write.write(file, b"one\0", 0) == 4
    write.note_meeting()
    assert write.write(file, b"two\xff", 4) == 4

    assert ways == ["given away", "held"]
    assert os.pread(file, 100, 0) == b"one\0two\xff"
    os.close(file)


def test_what_fails_with_the_lock_held_says_why(tmp_path: Path, ways: list[str]) -> None:
    """A write that is refused is done again the usual way, whose error carries the reason."""
    (tmp_path / "file").touch()
    file = os.open(tmp_path / "file", os.O_RDONLY)
    write = HeldWrite()
    write.note_meeting()
    with pytest.raises(OSError) as refused:  # noqa: PT011 - by its number
        write.write(file, b"one", 0)

    assert refused.value.errno == errno.EBADF
    assert ways == ["held", "given away"]
    os.close(file)


def test_a_slow_disk_holds_up_nobody_but_who_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a slow write the lock is given away for as long again, and twice as long each time it stays slow."""
    hands, took_seconds = Hands(), 2 * SLOW_SECONDS
    ways: list[str] = []

    def slow(_fd: int, content: bytes, _size: int, _offset: int) -> int:
        ways.append("held")
        hands.now_seconds += took_seconds
        return len(content)

    monkeypatch.setattr(held_write, "c_pwrite", lambda: slow)
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write = HeldWrite(hands.clock)
    for pause in (1, 2, 4, 8):
        write.note_meeting()
        write.write(file, b"one", 0)
        for _ in range(2):  # in the pause, whoever meets
            write.note_meeting()
            write.write(file, b"one", 0)
        hands.now_seconds += pause * took_seconds - 0.001
        write.note_meeting()
        write.write(file, b"one", 0)
        hands.now_seconds += 0.002

    assert ways == ["held"] * 4, "expected one write in each pause's end alone"
    os.close(file)


def test_one_that_was_switched_out_is_not_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long time in which other threads have written is no disk's fault."""
    hands = Hands()
    ways: list[str] = []
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)

    def switched_out(_fd: int, content: bytes, _size: int, _offset: int) -> int:
        ways.append("held")
        if len(ways) == 1:
            hands.now_seconds += 10 * SLOW_SECONDS
            write.write(file, b"another's", 0)
        return len(content)

    monkeypatch.setattr(held_write, "c_pwrite", lambda: switched_out)
    write = HeldWrite(hands.clock)
    write.note_meeting()
    write.write(file, b"one", 0)
    write.write(file, b"one", 0)

    assert ways == ["held"] * 3
    os.close(file)
