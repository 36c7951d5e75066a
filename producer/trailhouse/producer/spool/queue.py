"""The spool queue: what is spooled and not in memory, the spools of loggers that are gone before our own."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import msgspec

from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.spool.folder import place_of
from trailhouse.producer.spool.frame import Damage
from trailhouse.producer.spool.handle import pass_over, put_on_its_way
from trailhouse.producer.spool.journal import CLOSED, Inbox
from trailhouse.producer.spool.metadata import Destination
from trailhouse.producer.spool.orphans import OrphanSpools
from trailhouse.producer.spool.quarantine import SpoolQuarantine
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.producer.spool.reader import SpoolReader
from trailhouse.producer.spool.root import root_of
from trailhouse.producer.spool.writer import Spool
from trailhouse.schemas.errors import ProducerClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.spool.journal import Entry
    from trailhouse.producer.spool.orphans import OrphanSeals
    from trailhouse.producer.spool.reader import Spooled

log = logging.getLogger(__name__)


class SpoolQueue:
    """Makes the spool, and hands out in order what is to be read from one. Used under the send queue's lock.

    But callers of `log` look at `spools` and `next_number` without it, and what they call here may be
    interrupted at any instant: `spool`, `close`, `forget`.
    """

    def __init__(
        self,
        config: ProducerConfig,
        service: str,
        clock: Clock = SYSTEM_CLOCK,
        seals: OrphanSeals | None = None,
    ) -> None:
        self.root = root_of(config)
        self.inbox = Inbox()
        self._config = config
        self._destination = Destination(
            bootstrap_servers=config.kafka.bootstrap_servers,
            topic=config.kafka.topic,
            service=service,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self._quarantine = SpoolQuarantine(self.root)
        self.orphans = OrphanSpools(self.root, self._destination, self._quarantine, clock, seals)
        self._seals = seals
        self.spools: list[Spool | None] = []
        """The first is ours, None when closed; others were made by calls that were overtaken."""
        self._is_gone = False
        self._place = 0
        self.next_number = 0
        """The number of the next event that is to come into memory."""
        self._damaged: list[QueuedEvent] = []
        self._damaged_events = 0

    def spool(self) -> Spool:
        """Return our spool, which is made now if there is none.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable; nothing is left behind.
            ProducerClosedError: It was closed before there was one. Permanent.
        """
        if not self.spools:
            note = None if self._seals is None else self._seals.first_note
            made = Spool(self.root, self._destination, self._config, self.inbox, seal_note=note)
            self.spools.append(made)
            if self.spools[0] is not made:  # a signal handler was faster
                made.discard()
        if (spool := self.spools[0]) is None:
            raise ProducerClosedError(CLOSED)
        return spool

    @property
    def open_spool(self) -> Spool | None:
        """Our spool; None when there is none yet."""
        return self.spools[0] if self.spools else None

    def tail(self) -> Entry | None:
        """Return the newest entry of our spool that is seen to have come, with all before it; None: no spool yet."""
        return None if (spool := self.open_spool) is None else spool.seen

    def has_unread(self, tail: Entry | None) -> bool:
        """Whether something up to *tail* is spooled that is not in memory, once what has come is admitted."""
        return self.orphans.has_unread or (tail is not None and self.next_number < tail.left)

    @property
    def end_number(self) -> int:
        """The number that the next event to be spooled will have."""
        return 0 if (spool := self.open_spool) is None else spool.tail().events

    @property
    def used_bytes(self) -> int:
        """Bytes that our spool takes on the disk."""
        return 0 if (spool := self.open_spool) is None else spool.used_bytes

    def pass_by(self, queued: QueuedEvent) -> None:
        """Note that *queued*, the next one, is in memory and need not be read."""
        self._place = queued.place
        self.next_number = queued.number + 1
        if queued.source is not None:
            queued.source.last = queued

    def read(self, tail: Entry | None, early: dict[int, QueuedEvent]) -> list[QueuedEvent] | None:
        """Return some of the next events up to *tail*; None when nothing can be read before some are settled.

        What is in *early*, by number, is queued already.

        Raises:
            SpoolUnavailableError: The spool cannot be read. Retriable.
        """
        if self.orphans.has_unread:
            return self.orphans.read()
        spool = self.open_spool
        if spool is None or tail is None:
            return []
        # What came after it may be sent from memory, and wait in the inbox.
        end, end_number = place_of(tail.segment, tail.end), tail.events
        reader = SpoolReader(spool.folder.path, self._place)
        items = reader.read(end)
        if not items and reader.place < end:
            self._is_gone = True
            return None
        self._quarantine.keep_damaged(spool.folder.path.name, items)
        self._place = reader.place
        queued_events = self._queued_events(items, spool, early)
        if self._place >= end:
            self._give_up(end_number, early)
        return queued_events

    def _queued_events(
        self, items: list[Spooled], spool: Spool, early: dict[int, QueuedEvent]
    ) -> list[QueuedEvent]:
        queued_events: list[QueuedEvent] = []
        left = self.inbox.left
        for found, place in items:
            if isinstance(found, Damage):
                pass_over(spool, place)
                continue
            number = found.number + spool.first_number
            self._give_up(number, early)
            queued = (
                early.pop(number, None)
                or left.pop(number, None)
                or QueuedEvent("", found.key, found.record)
            )
            queued.record = found.record
            self.next_number = number + 1
            queued_events.append(put_on_its_way(queued, number, spool, place))
        return queued_events

    def _give_up(self, end: int, early: dict[int, QueuedEvent]) -> None:
        """Note that the events up to the one numbered *end* are not there any more: damaged."""
        for number in range(self.next_number, end):
            self._damaged_events += 1
            queued = early.pop(number, None) or self.inbox.left.pop(number, None)
            if queued is not None:
                self._damaged.append(queued)
        self.next_number = max(self.next_number, end)

    def take_damaged(self) -> tuple[int, list[QueuedEvent]]:
        """Return how many events were found damaged since the last call, and those events still held."""
        events, held = self._damaged_events + self.orphans.take_damaged(), self._damaged
        self._damaged_events, self._damaged = 0, []
        return events, held

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed our spool's files."""
        return self._is_gone or ((spool := self.open_spool) is not None and spool.is_gone)

    def renew(self, in_memory: Callable[[], Iterable[QueuedEvent]]) -> None:
        """Begin a new spool with the events *in_memory*; those on the disk alone are lost, and counted.

        Nobody logs meanwhile: the old one is sealed before *in_memory* is asked.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable.
        """
        if (old := self.open_spool) is None:
            return
        last = old.seal()
        try:
            self._move(old, last, in_memory())
        except BaseException:
            old.reopen(last)
            raise
        old.forget()

    def _move(self, old: Spool, last: Entry, in_memory: Iterable[QueuedEvent]) -> None:
        spool = Spool(
            self.root,
            self._destination,
            self._config,
            self.inbox,
            first_number=last.events,
            first_seq=last.seq,
            seal_note=old.seal_note and msgspec.structs.replace(old.seal_note, place=0),
        )
        ours = [queued for queued in in_memory if queued.source is old]
        try:
            places = [spool.write_again(queued) for queued in ours]
        except BaseException:
            spool.discard()
            raise
        log.error("somebody has removed the spool in %s; a new one is begun", old.folder.path)
        self._give_up(last.events, {})
        for queued, place in zip(ours, places, strict=True):
            put_on_its_way(queued, queued.number, spool, place)
        self._is_gone = False
        self._place, self.next_number = spool.end, spool.tail().events
        self.spools[0] = spool

    def keep_refused(self, queued: QueuedEvent) -> None:
        """Set an event aside that the broker refuses for good: it must not stop those after it."""
        name = self.open_spool.folder.path.name if self.open_spool is not None else "adopted"
        self._quarantine.keep_refused(name, queued)

    def make_space(self) -> None:
        """Give back what the spool does not need, if a caller has found the disk full."""
        if (spool := self.open_spool) is not None and spool.wants_space:
            spool.make_space()

    @property
    def has_unsynced(self) -> bool:
        """Whether our spool has something that `take_unsynced` has not seen."""
        return (spool := self.open_spool) is not None and spool.has_unsynced

    def take_unsynced(self) -> list[int]:
        """Return the files to be given to `sync` without the lock."""
        return [] if (spool := self.open_spool) is None else spool.take_unsynced()

    def close(self) -> None:
        """Let go of every spool; one that is not settled stays for the next logger. May be called twice."""
        self.orphans.let_go()
        self.spools.append(None)
        if (spool := self.spools[0]) is not None:
            spool.close()

    def forget(self) -> None:
        """Close our copies of the files, in a forked child: the spools are the parent's."""
        self.orphans.let_go(is_ours=False)
        self.spools.append(None)
        if (spool := self.spools[0]) is not None:
            spool.forget()
