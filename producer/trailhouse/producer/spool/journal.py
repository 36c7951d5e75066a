"""The journal: the order of events, which stays whole whatever interrupts the call that logs one. No lock.

A signal handler may log, close, fork or raise between any two instructions of a call of `log`, in the same
thread, past every lock; and another thread may log there, which must not wait for one that Python has
switched out: with eight threads each call would be handed from one to the next, at several times its cost.

So nothing here is half changed at any instant. An entry is published by one step, the `append` to its
predecessor's `followers`: the first one there is next, and its number, its place and its `seq` are nobody
else's. Who comes by and finds an entry that is published and not complete, since the call that published it
was interrupted, completes it in its place: the same bytes to the same place, which harms nothing when it is
done twice. Who was overtaken before it published begins anew after the newer one.

An entry that cannot be completed is void, and its place is the next one's. Before that it is doomed: from
then on nobody begins to help, and who helps already is waited for, since bytes that are late must not be
written over those of the next one.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.schemas.errors import ProducerClosedError

if TYPE_CHECKING:
    from trailhouse.producer.spool.files import OpenFile

CLOSED = "the audit logger is closed: make a new AuditLogger"
LOOK_SECONDS = 0.001


class Entry(msgspec.Struct, eq=False):
    """One event in the journal, or where it begins; and what is to be known to append the next.

    Attributes:
        events: The number of the next event.
        seq: The `seq` of the next event that is numbered.
        segment, end, file: Where the next event is written.
        content: What is still to be written; None: the entry is complete.
        left: The number after the newest event so far that is on the disk alone.
        is_doomed: Whether nobody may begin to complete it any more.
        followers: What has been published after this; see `following`.
    """

    events: int
    seq: int
    queued: QueuedEvent | None = None
    segment: int = 0
    begin: int = 0
    end: int = 0
    file: OpenFile | None = None
    content: bytes | None = None
    left: int = 0
    is_doomed: bool = False
    followers: list[Entry | Outcome | Seal] = msgspec.field(default_factory=list)


class Outcome:
    """Decides about *entry*, once: it is complete, or void as if it had never been published."""

    __slots__ = ("entry", "is_void")

    def __init__(self, entry: Entry, *, is_void: bool) -> None:
        self.entry = entry
        self.is_void = is_void


class Seal:
    """Ends a journal: nothing is ever appended after it. It was closed, or goes on in another."""


def following(entry: Entry) -> Entry | Seal | None:
    """Return what comes after *entry*: of all that was published there, the first that is not void."""
    followers = entry.followers
    if len(followers) == 1 and not isinstance(first := followers[0], Outcome):
        return first
    void: set[int] = set()
    decided: set[int] = set()
    for each in followers:
        if isinstance(each, Outcome) and id(each.entry) not in decided:
            decided.add(id(each.entry))
            if each.is_void:
                void.add(id(each.entry))
    return next(
        (each for each in followers if not isinstance(each, Outcome) and id(each) not in void), None
    )


class Inbox:
    """Where callers put what they have logged, for the sender to take.

    `arrivals` are to be sent from memory; one may come twice, or out of turn: their numbers tell. `left` are
    on the disk alone: those of them that somebody still holds.
    """

    def __init__(self) -> None:
        self.arrivals: deque[QueuedEvent] = deque()
        self.left: weakref.WeakValueDictionary[int, QueuedEvent] = weakref.WeakValueDictionary()


class Journal:
    """Events in memory alone, for mode ``memory``; a `Spool` writes them to files, too."""

    def __init__(self, first: Entry, inbox: Inbox) -> None:
        self._arrivals = inbox.arrivals
        self._left = inbox.left
        self._newest = first
        self._helping: list[Entry] = []
        """What is being completed by others than those who published it."""

    @property
    def seen(self) -> Entry:
        """An entry that is complete, as all before it: the newest, or one before it while a call goes on."""
        return self._newest

    def newest(self) -> Entry:
        """Return the entry to append to: all before it, and itself, are complete.

        Raises:
            ProducerClosedError: It is sealed. Permanent.
            DeliveryError: What an interrupted call has begun cannot be completed. Retriable.
        """
        entry = self._newest
        return entry if not entry.followers else self.resolved()

    def resolved(self) -> Entry:
        """Return what `newest` does, when something has been published after it."""
        entry, after = self._walk()
        if isinstance(after, Seal):
            raise ProducerClosedError(CLOSED)
        return entry

    def tail(self) -> Entry:
        """Return the newest entry that is complete, and complete what a call has begun."""
        try:
            return self._walk()[0]
        except OSError:
            return self._newest

    def _walk(self) -> tuple[Entry, Seal | None]:
        entry = self._newest
        while entry.followers:
            after = following(entry)
            if after is None or isinstance(after, Seal):
                return entry, after
            if after.content is None or self._help(entry, after):
                self._pass_to(after)
                entry = after
        return entry, None

    def _help(self, before: Entry, entry: Entry) -> bool:
        """Complete *entry* for whoever published it; False: it is void.

        Raises:
            OSError: It can be neither completed nor declared void, as long as another tries.
        """
        helping = self._helping
        try:
            helping.append(entry)
            if not entry.is_doomed:
                self.complete(entry)
            elif helping.count(entry) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            if entry in helping:
                helping.remove(entry)
        is_void = entry.content is not None
        before.followers.append(Outcome(entry, is_void=is_void))
        return not is_void

    def _pass_to(self, entry: Entry) -> None:
        # A thread that was switched out may come late; it is only where `newest` begins to look.
        if self._newest.events < entry.events:
            self._newest = entry

    def _is_void(self, before: Entry, entry: Entry) -> bool:
        """Declare *entry*, which the caller has published after *before*, void; False: a helper has completed it."""
        entry.is_doomed = True
        while entry in self._helping:  # by another thread: what this one has interrupted is older
            time.sleep(LOOK_SECONDS)
        if entry.content is None:
            return False
        before.followers.append(Outcome(entry, is_void=True))
        return True

    def append(
        self,
        newest: Entry,
        seq: int,
        event_id: str,
        key: bytes,
        record: bytes,
        is_kept: bool = True,
        is_last: bool = False,
    ) -> QueuedEvent | None:
        """Log an event after *newest*; *seq* is the next one. None: see `publish`.

        Args:
            is_kept: Whether it is sent from memory; else it is read in its turn.
            is_last: Whether it ends the journal, in the same step.
        """
        number = newest.events
        queued = QueuedEvent(event_id, key, record if is_kept else b"", number)
        left = newest.left if is_kept else number + 1
        entry = Entry(number + 1, seq, queued, content=record, left=left)
        if is_last:
            entry.followers.append(Seal())
        return queued if self.publish(newest, entry) else None

    def publish(self, newest: Entry, entry: Entry) -> bool:
        """Have *entry* follow *newest*, and complete it; False when another was faster: begin anew.

        Raises:
            OSError: It cannot be completed; nothing was logged.
            ProducerClosedError: It was sealed meanwhile. Permanent; nothing was logged.
        """
        followers = newest.followers
        followers.append(entry)
        if (
            followers[0] is not entry
            and following(newest) is not entry
            and self._is_void(newest, entry)
        ):
            return False
        try:
            self.complete(entry)
        except OSError:
            if self._is_void(newest, entry):
                raise
        if len(followers) > 1 and following(newest) is not entry:
            raise ProducerClosedError(CLOSED)  # a handler has closed, and could not complete it
        if self._newest.events < entry.events:  # see `_pass_to`
            self._newest = entry
        return True

    def complete(self, entry: Entry) -> None:
        """Do what makes *entry* logged; once or several times, the outcome is the same.

        Raises:
            OSError: It cannot be done; it may be tried again.
        """
        content = entry.content
        if content is None:
            return
        self.write(entry, content)
        queued = entry.queued
        if queued is not None:
            if entry.left == entry.events:
                self._left[queued.number] = queued
            else:
                self._arrivals.append(queued)
        entry.content = None

    def write(self, entry: Entry, content: bytes) -> None:
        """Make *entry* outlive this process, where that is promised."""

    def seal(self) -> Entry:
        """Have nothing appended any more; return the last entry."""
        while True:
            entry = self.tail()
            entry.followers.append(Seal())
            after = following(entry)
            if isinstance(after, Seal):
                return entry
            if isinstance(after, Entry) and after.content is not None:
                try:
                    self._help(entry, after)
                except OSError:
                    # Nothing is written here any more, late bytes harm nobody.
                    entry.followers.append(Outcome(after, is_void=True))

    def reopen(self, last: Entry) -> None:
        """Undo `seal`, which returned *last*."""
        self._newest = Entry(
            last.events,
            last.seq,
            None,
            last.segment,
            last.begin,
            last.end,
            last.file,
            left=last.left,
        )
