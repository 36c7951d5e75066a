"""The journal where threads meet: who helps, who gives up, and whose place it is then."""

import errno
import os
import threading

import pytest

from trailhouse.producer.spool.journal import Entry, Inbox, Journal
from trailhouse.schemas.errors import ProducerClosedError

DEADLINE_SECONDS = 30.0


class Disk(Journal):
    """A journal on a disk that refuses the publisher's write, and holds up a helper's until it is let go."""

    def __init__(self) -> None:
        super().__init__(Entry(0, 0), Inbox())
        self.publisher = threading.get_ident()
        self.published = threading.Event()
        self.helping = threading.Event()
        self.go_on = threading.Event()
        self.helper_fails = False
        self.written: list[bytes] = []

    def write(self, entry: Entry, content: bytes) -> None:
        """Fail for the publisher once a helper is at it; take what the helper writes when it is let go."""
        if content != b"main":
            self.written.append(content)
        elif threading.get_ident() == self.publisher:
            self.published.set()
            assert self.helping.wait(DEADLINE_SECONDS)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        else:
            self.helping.set()
            assert self.go_on.wait(DEADLINE_SECONDS)
            if self.helper_fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.written.append(content)


def add(journal: Journal, record: bytes) -> bool:
    """Append *record*; tell whether nobody was faster."""
    newest = journal.newest()
    return journal.append(newest, newest.seq + 1, "id", b"key", record) is not None


def helped(disk: Disk) -> threading.Thread:
    """Return a thread that comes by the publisher's entry, and logs after it."""

    def help_and_log() -> None:
        assert disk.published.wait(DEADLINE_SECONDS)
        try:
            assert add(disk, b"helper")
        except OSError:
            assert disk.helper_fails

    thread = threading.Thread(target=help_and_log)
    thread.start()
    return thread


def test_what_a_helper_has_completed_is_logged() -> None:
    """A call whose own write fails has logged its event all the same, if another's write of it went through."""
    disk = Disk()
    thread = helped(disk)
    disk.go_on.set()
    assert add(disk, b"main")
    thread.join(DEADLINE_SECONDS)

    assert disk.written == [b"main", b"helper"]
    assert disk.tail().events == 2


def test_a_place_is_free_when_the_last_helper_has_left() -> None:
    """A call that cannot write its event gives up its place only once nobody can write there late."""
    disk = Disk()
    disk.helper_fails = True
    thread = helped(disk)
    ended = threading.Event()

    def let_go() -> None:
        assert disk.helping.wait(DEADLINE_SECONDS)
        assert not ended.wait(0.05), "expected the publisher to wait for its helper"
        disk.go_on.set()

    letting = threading.Thread(target=let_go)
    letting.start()
    with pytest.raises(OSError, match="space"):
        add(disk, b"main")
    ended.set()
    thread.join(DEADLINE_SECONDS)
    letting.join(DEADLINE_SECONDS)

    assert disk.go_on.is_set()
    assert add(disk, b"after")
    assert disk.written == [b"after"]
    assert disk.tail().events == 1


def test_a_doomed_entry_is_nobody_s_to_complete() -> None:
    """Who comes by an entry that its publisher is giving up takes its place instead of completing it."""
    disk = Disk()
    newest = disk.newest()
    doomed = Entry(1, 1, content=b"doomed", is_doomed=True)
    newest.followers.append(doomed)
    assert add(disk, b"after")

    assert disk.written == [b"after"]
    assert disk.tail().events == 1


def test_a_journal_that_was_sealed_in_vain_goes_on() -> None:
    """What was sealed to be moved, and could not be moved, takes events again, in order."""
    disk = Disk()
    assert add(disk, b"one")
    last = disk.seal()
    with pytest.raises(ProducerClosedError):
        disk.newest()
    disk.reopen(last)
    assert add(disk, b"two")

    assert disk.written == [b"one", b"two"]
    assert disk.tail().events == 2
