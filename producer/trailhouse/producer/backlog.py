"""The backlog: what is spooled and not in memory, the spools of loggers that are gone before our own."""

import contextlib
import logging
import os
import socket
import time
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path

from trailhouse.producer.frame import Damage, Frame, header
from trailhouse.producer.receipt import Receipt, Source
from trailhouse.producer.spool import Spool
from trailhouse.producer.spool_folder import (
    DAMAGED_SUFFIX,
    REFUSED_SUFFIX,
    Destination,
    SpoolFolder,
    destination_of,
    folders,
    is_held,
    root_of,
    set_aside,
    split,
)
from trailhouse.producer.spool_reader import Spooled, SpoolReader
from trailhouse.schemas.config import ProducerConfig
from trailhouse.schemas.errors import SpoolUnavailableError

log = logging.getLogger(__name__)

SWEEP_AGE_SECONDS = 30.0
"""A logger that is started again finds its predecessor's spool itself, and first: order is kept."""

MakeReceipt = Callable[[str, bytes, bytes], Receipt]


def destination(config: ProducerConfig, service: str = "") -> Destination:
    """Return where the settings send events to, with this process's name for `trailhouse spool status`."""
    return Destination(
        bootstrap_servers=config.kafka.bootstrap_servers,
        topic=config.kafka.topic,
        service=service,
        host=socket.gethostname(),
        pid=os.getpid(),
    )


class Inherited:
    """The spool of a logger that is gone: read to its end, and removed when all of it is settled."""

    def __init__(self, folder: SpoolFolder) -> None:
        self.folder = folder
        self._reader = SpoolReader(folder.path, folder.acked())
        self._acked = self._reader.place
        self._is_read = False

    def read(self) -> list[Spooled]:
        """Return the next frames; none when all are read, and the folder is gone if all are settled."""
        items = self._reader.read()
        if not items:
            self._is_read = True
            self._finish()
        return items

    def settle_to(self, place: int) -> bool:
        """Note that everything before *place* is settled; the last one removes the folder."""
        if place > self._acked:
            self._acked = place
            self.folder.set_acked(place)
            self.folder.free_before(split(place)[0])
            self._finish()
        return False

    def _finish(self) -> None:
        if self._is_read and self._acked >= self._reader.place:
            self.folder.release(is_empty=True)

    @property
    def is_done(self) -> bool:
        """Whether all of it is read and settled."""
        return self._is_read and self._acked >= self._reader.place


class Backlog:
    """Hands out spooled events in order. Every method is called under the outbox's lock."""

    def __init__(self, config: ProducerConfig, name: str, service: str) -> None:
        self.root = root_of(config)
        self._config = config
        self._name = name
        self._destination = destination(config, service)
        self._spool: Spool | None = None
        self._is_closed = False
        self._place = 0
        self._next_number = 0
        self._inherited: deque[Inherited] = deque()
        self._unfinished: list[Inherited] = []
        self._left: weakref.WeakValueDictionary[int, Receipt] = weakref.WeakValueDictionary()
        self._last: Receipt | None = None
        self.damaged: list[Receipt] = []
        """Receipts of events that were damaged on the disk, to be refused by who calls `read`."""
        self.adopted_total = 0
        self.set_aside_total = 0

    @property
    def has_unread(self) -> bool:
        """Whether something is spooled that is not in memory."""
        return bool(self._inherited) or (self._spool is not None and self._place < self._spool.end)

    def has_unread_before(self, receipt: Receipt) -> bool:
        """Whether something must be sent before *receipt*, which was spooled last."""
        return bool(self._inherited) or self._next_number < receipt.number

    def left_receipts(self) -> list[Receipt]:
        """Return the receipts, which somebody still holds, of events that are not in memory."""
        return list(self._left.values())

    @property
    def next_number(self) -> int:
        """The number of the next event to be read; -1 for one of another logger."""
        return -1 if self._inherited else self._next_number

    @property
    def is_inheriting(self) -> bool:
        """Whether spools of other loggers are held whose events are not all settled."""
        self._unfinished = [each for each in self._unfinished if not each.is_done]
        return bool(self._unfinished)

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
        """
        spool = self._spool
        if spool is None:
            spool = self._spool = Spool(self.root, self._name, self._destination, self._config)
            self._place = spool.end
        receipt.number, receipt.place = spool.append(receipt.key, receipt.record)
        receipt.source = spool

    def pass_by(self, receipt: Receipt) -> None:
        """Note that *receipt*, spooled last, is in memory and need not be read."""
        self._place = receipt.place
        self._next_number = receipt.number + 1

    def leave(self, receipt: Receipt) -> None:
        """Leave *receipt*'s event to be read later; it is not kept in memory for that."""
        receipt.record = b""
        self._left[receipt.number] = receipt

    def read(self, make: MakeReceipt) -> list[Receipt]:
        """Return receipts of the next events, some at a time.

        Raises:
            SpoolUnavailableError: The spool cannot be read, or is gone. Retriable.
        """
        if self._inherited:
            return self._read_inherited(make)
        spool = self._spool
        if spool is None or self._place >= spool.end:
            return []
        reader = SpoolReader(spool.folder.path, self._place)
        items = reader.read(spool.end)
        if not items:
            raise SpoolUnavailableError(
                f"the spool in {spool.folder.path} is gone: somebody has removed its files; what was in them is lost"
            )
        self._place = reader.place
        return self._own(items, spool, make)

    def _own(self, items: list[Spooled], spool: Spool, make: MakeReceipt) -> list[Receipt]:
        receipts: list[Receipt] = []
        for found, place in items:
            if isinstance(found, Damage):
                self._put_aside(spool.folder.path.name, found)
                self._pass_over(spool, place)
                continue
            lost = (
                self._left.pop(number, None) for number in range(self._next_number, found.number)
            )
            self.damaged += [receipt for receipt in lost if receipt is not None]
            receipt = self._left.pop(found.number, None) or make("", found.key, found.record)
            receipt.record = found.record
            self._next_number = found.number + 1
            receipts.append(self._placed(receipt, found.number, spool, place))
        return receipts

    def _placed(self, receipt: Receipt, number: int, source: Source, place: int) -> Receipt:
        receipt.number, receipt.source, receipt.place = number, source, place
        self._last = receipt
        return receipt

    def _pass_over(self, source: Source, place: int) -> None:
        """Settle a range without an event: together with the event before it."""
        if self._last is not None and self._last.source is source:
            self._last.place = place
        else:
            source.settle_to(place)

    def _read_inherited(self, make: MakeReceipt) -> list[Receipt]:
        heirloom = self._inherited[0]
        items = heirloom.read()
        if not items:
            self._inherited.popleft()
        receipts: list[Receipt] = []
        for found, place in items:
            if isinstance(found, Frame):
                receipt = make("", found.key, found.record)
                receipts.append(self._placed(receipt, -1, heirloom, place))
            else:
                self._put_aside(heirloom.folder.path.name, found)
                self._pass_over(heirloom, place)
        self.adopted_total += len(receipts)
        return receipts

    def _put_aside(self, name: str, damage: Damage) -> None:
        set_aside(self.root, name + DAMAGED_SUFFIX, damage.content)
        self.set_aside_total += 1
        log.error(
            "%d damaged bytes of a spool were set aside in %s; what follows them is sent",
            len(damage.content),
            self.root,
        )

    def put_refused_aside(self, receipt: Receipt) -> None:
        """Keep an event that the broker refuses for good: it must not stop those behind it."""
        content = header(max(receipt.number, 0), receipt.key, receipt.record)
        set_aside(self.root, self._name + REFUSED_SUFFIX, content + receipt.key + receipt.record)
        self.set_aside_total += 1

    def adopt(self, *, min_age_seconds: float = 0.0, any_destination: bool = False) -> bool:
        """Hold the spools of loggers that are gone, to be read before anything else; tell if there are any."""
        adopted = False
        for path in folders(self.root):
            if path.name == self._name or not self._is_for_us(path, any_destination):
                continue
            if min_age_seconds and _age_seconds(path) < min_age_seconds:
                continue
            if (folder := SpoolFolder.take(path)) is not None:
                heirloom = Inherited(folder)
                self._inherited.append(heirloom)
                self._unfinished.append(heirloom)
                adopted = True
        return adopted

    def has_orphans(self) -> bool:
        """Tell whether there are spools of loggers that are gone; cheap when there are none."""
        with contextlib.suppress(SpoolUnavailableError):  # told by the first event that is logged
            return any(
                self._is_for_us(path, False) and not is_held(path) for path in folders(self.root)
            )
        return False

    def _is_for_us(self, path: Path, any_destination: bool) -> bool:
        theirs = destination_of(path)
        return any_destination or (theirs is not None and theirs.is_same(self._destination))

    def take_unsynced(self) -> list[int]:
        """Return the files to be given to `sync` without the lock."""
        return [] if self._spool is None else self._spool.take_unsynced()

    def close(self) -> None:
        """Let go of every spool; one that is not settled stays for the next logger."""
        if self._spool is not None and not self._is_closed:
            self._spool.close()
        self._is_closed = True
        for heirloom in self._unfinished:
            if not heirloom.is_done:
                heirloom.folder.release(is_empty=False)
        self._inherited.clear()
        self._unfinished.clear()

    def forget(self) -> None:
        """Close our copies of the files, in a forked child: the spools are the parent's."""
        if self._spool is not None:
            self._spool.forget()
        for heirloom in self._unfinished:
            if not heirloom.is_done:
                heirloom.folder.forget()


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - max(entry.stat().st_mtime for entry in os.scandir(path))
    except (OSError, ValueError):
        return 0.0
