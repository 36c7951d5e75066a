"""The backlog: what is spooled and not in memory, the spools of loggers that are gone before our own."""

from __future__ import annotations

import logging
import os
import socket
import weakref
from typing import TYPE_CHECKING

from trailhouse.producer.aside import Aside
from trailhouse.producer.frame import Damage
from trailhouse.producer.inheritance import Inheritance
from trailhouse.producer.spool import Spool
from trailhouse.producer.spool_folder import Destination, root_of
from trailhouse.producer.spool_reader import SpoolReader
from trailhouse.producer.spool_source import pass_over, put_on_its_way
from trailhouse.schemas.errors import ProducerClosedError
from trailhouse.schemas.uuid7 import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trailhouse.producer.receipt import Receipt
    from trailhouse.producer.spool_reader import Spooled
    from trailhouse.producer.spool_source import MakeReceipt
    from trailhouse.schemas.config import ProducerConfig

log = logging.getLogger(__name__)


class Backlog:
    """Spools events and hands them out in order. Every method is called under the outbox's lock."""

    def __init__(self, config: ProducerConfig, name: str, service: str) -> None:
        self.root = root_of(config)
        self._config = config
        self._name = name
        self._destination = Destination(
            bootstrap_servers=config.kafka.bootstrap_servers,
            topic=config.kafka.topic,
            service=service,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self._aside = Aside(self.root)
        self.inheritance = Inheritance(self.root, name, self._destination, self._aside)
        self._spool: Spool | None = None
        self._is_closed = False
        self._is_gone = False
        self._place = 0
        self._next_number = 0
        self._left: weakref.WeakValueDictionary[int, Receipt] = weakref.WeakValueDictionary()
        self._damaged: list[Receipt] = []
        self._damaged_events = 0

    @property
    def has_unread(self) -> bool:
        """Whether something is spooled that is not in memory."""
        return self.inheritance.has_unread or (
            self._spool is not None and self._place < self._spool.end
        )

    def has_unread_before(self, receipt: Receipt) -> bool:
        """Whether something must be sent before *receipt*, which was spooled last."""
        return self._next_number < receipt.number or self.inheritance.has_unread

    def left_receipts(self) -> list[Receipt]:
        """Return the receipts, which somebody still holds, of events that are not in memory."""
        return list(self._left.values())

    @property
    def next_number(self) -> int:
        """The number of the next event to be read; -1 for one of another logger."""
        return -1 if self.inheritance.has_unread else self._next_number

    @property
    def end_number(self) -> int:
        """The number that the next event to be spooled will have."""
        return 0 if self._spool is None else self._spool.next_number

    @property
    def has_room(self) -> bool:
        """Whether one more event may be spooled."""
        return self._spool is None or self._spool.has_room

    @property
    def used_bytes(self) -> int:
        """Bytes that our spool takes on the disk."""
        return 0 if self._spool is None else self._spool.used_bytes

    def append(self, receipt: Receipt) -> None:
        """Spool *receipt*'s event, and note its place.

        Raises:
            SpoolFullError, SpoolUnavailableError: Nothing was written. Retriable.
            ProducerClosedError: The logger is closed. Permanent; nothing was written.
        """
        spool = self._spool
        if self._is_closed:
            raise ProducerClosedError("the audit logger is closed: make a new AuditLogger")
        if spool is None:
            spool = self._spool = Spool(self.root, self._name, self._destination, self._config)
            self._place = spool.end
        receipt.number, receipt.place = spool.append(receipt.key, receipt.record)
        receipt.source = spool

    def pass_by(self, receipt: Receipt) -> None:
        """Note that *receipt*, spooled last, is in memory and need not be read."""
        self._place = receipt.place
        self._next_number = receipt.number + 1
        if receipt.source is not None:
            receipt.source.last = receipt

    def leave(self, receipt: Receipt) -> None:
        """Leave *receipt*'s event to be read later; it is not kept in memory for that."""
        receipt.record = b""
        self._left[receipt.number] = receipt

    def read(self, make: MakeReceipt) -> list[Receipt] | None:
        """Return receipts of the next events; None when nothing can be read before some are settled.

        Raises:
            SpoolUnavailableError: The spool cannot be read. Retriable.
        """
        if self.inheritance.has_unread:
            return self.inheritance.read(make)
        spool = self._spool
        if spool is None or self._place >= spool.end:
            return []
        reader = SpoolReader(spool.folder.path, self._place)
        items = reader.read(spool.end)
        if not items and reader.place < spool.end:
            self._is_gone = True
            return None
        self._aside.keep_damaged(spool.folder.path.name, items)
        self._place = reader.place
        receipts = self._receipts(items, spool, make)
        if self._place >= spool.end:
            self._give_up(spool.next_number)
        return receipts

    def _receipts(self, items: list[Spooled], spool: Spool, make: MakeReceipt) -> list[Receipt]:
        receipts: list[Receipt] = []
        for found, place in items:
            if isinstance(found, Damage):
                pass_over(spool, place)
                continue
            self._give_up(found.number)
            receipt = self._left.pop(found.number, None) or make("", found.key, found.record)
            receipt.record = found.record
            self._next_number = found.number + 1
            receipts.append(put_on_its_way(receipt, found.number, spool, place))
        return receipts

    def _give_up(self, end: int) -> None:
        """Note that the events up to the one numbered *end* are not there any more: damaged."""
        for number in range(self._next_number, end):
            self._damaged_events += 1
            if (receipt := self._left.pop(number, None)) is not None:
                self._damaged.append(receipt)
        self._next_number = max(self._next_number, end)

    def take_damaged(self) -> tuple[int, list[Receipt]]:
        """Return how many events were found damaged since the last call, and those receipts still held."""
        events, held = self._damaged_events + self.inheritance.take_damaged(), self._damaged
        self._damaged_events, self._damaged = 0, []
        return events, held

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed our spool's files."""
        return not self._is_closed and (
            self._is_gone or (self._spool is not None and self._spool.is_gone)
        )

    def renew(self, in_memory: Iterable[Receipt]) -> None:
        """Begin a new spool with the events *in_memory*; those on the disk alone are lost, and counted.

        Raises:
            SpoolFullError, SpoolUnavailableError: It cannot be made. Retriable.
        """
        old, name = self._spool, uuid7()
        if old is None:
            return
        spool = Spool(
            self.root, name, self._destination, self._config, first_number=old.next_number
        )
        ours = [receipt for receipt in in_memory if receipt.source is old]
        try:
            places = [spool.append(receipt.key, receipt.record)[1] for receipt in ours]
        except BaseException:
            spool.discard()
            raise
        log.error("somebody has removed the spool in %s; a new one is begun", old.folder.path)
        self._give_up(old.next_number)
        for receipt, place in zip(ours, places, strict=True):
            put_on_its_way(receipt, receipt.number, spool, place)
        self._spool, self._name, self._is_gone = spool, name, False
        self._place, self._next_number = spool.end, spool.next_number
        old.forget()

    def keep_refused(self, receipt: Receipt) -> None:
        """Set an event aside that the broker refuses for good: it must not stop those behind it."""
        self._aside.keep_refused(self._name, receipt)

    def take_unsynced(self) -> list[int]:
        """Return the files to be given to `sync` without the lock."""
        return [] if self._spool is None or self._is_closed else self._spool.take_unsynced()

    def close(self) -> None:
        """Let go of every spool; one that is not settled stays for the next logger."""
        if self._is_closed:
            return
        self._is_closed = True
        self.inheritance.let_go()
        if self._spool is not None:
            self._spool.close()

    def forget(self) -> None:
        """Close our copies of the files, in a forked child: the spools are the parent's."""
        if self._is_closed:
            return
        self._is_closed = True
        self.inheritance.let_go(is_ours=False)
        if self._spool is not None:
            self._spool.forget()
