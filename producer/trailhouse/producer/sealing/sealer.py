"""The sealer: makes a logger's seals, and those of loggers that are gone, and logs them like any other event.

A record is hashed where it comes into memory to be sent, by the sender: who logs pays nothing. A seal is logged through
the same journal and spool as what it covers, behind it; so it has a number of its own, which the next one covers, or,
of the last, its own signature. Between seals the spool keeps what they will cover, sent or not: whoever adopts the
spool of a logger that was killed makes the seal that it could not make. The last seal of one that closes is kept beside
the spools, and repeated by the next: see `closed`.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Protocol

import msgspec

from trailhouse.producer.sealing.closed import ClosedSeals
from trailhouse.producer.sealing.unsealed import Run, Unsealed
from trailhouse.producer.spool.folder import split
from trailhouse.producer.spool.root import root_of
from trailhouse.producer.spool.seal_note import SealNote
from trailhouse.producer.spool.writer import Spool
from trailhouse.proof.seal import Seal, data_of, seal_session
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import DeliveryError, InvalidEventError
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.fast import new_record
from trailhouse.schemas.record import Source, encode_sorted, renumbered

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from trailhouse.producer.clock import Clock
    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.spool.frame import Frame
    from trailhouse.producer.spool.journal import Entry
    from trailhouse.producer.spool.orphans import AdoptedSpool
    from trailhouse.producer.spool.queued_event import QueuedEvent
    from trailhouse.proof.keys import Signer
    from trailhouse.proof.seal import SealData

log = logging.getLogger(__name__)

SEAL_BYTES = 6_144
"""What a seal's record takes besides its digests at most: names, and lost numbers."""
BYTES_A_NUMBER = 11
"""Of eight bytes in base64."""


class SealedQueue(Protocol):
    """What a sealer asks of the send queue that its seals go through."""

    lock: threading.Condition

    @property
    def next_number(self) -> int:
        """The number of the next event that is to come into memory."""
        ...

    def has_fresh(self) -> bool:
        """Tell whether something has come into memory that the sealer has not taken."""
        ...

    def newest(self) -> Entry:
        """Return what the next event is logged after.

        Raises:
            DeliveryError: As `Journal.newest`, or the spool cannot be made.
        """
        ...

    def log_own(
        self, newest: Entry, event_id: str, key: bytes, record: bytes, *, is_last: bool = False
    ) -> QueuedEvent | None:
        """Log a numbered event after *newest*; None when another was faster. *is_last*: nothing comes after it.

        Raises:
            DeliveryError: It cannot be logged. Retriable.
        """
        ...


class Orphan:
    """The records of a logger that is gone, as they are read from its spool."""

    def __init__(self, adopted: AdoptedSpool, note: SealNote, most_numbers: int) -> None:
        self.adopted = adopted
        self.unsealed = Unsealed(note.producer_id, 0, most_numbers)
        self.has_begun = False
        self.is_read = False


class Sealer:
    """Seals what one logger makes, in one process; see the module. Used by the sender alone, but for `wants_last`.

    Args:
        signer: The service's key.
        service: Its name.
        producer_id: The logger's.
        config: How often it seals, and how large an event may be.
        closed: Keeps the last seal, and those of others to be repeated; None where there is no folder of spools.
    """

    def __init__(
        self,
        signer: Signer,
        service: str,
        producer_id: str,
        config: ProducerConfig,
        closed: ClosedSeals | None = None,
    ) -> None:
        self._closed = closed
        self._signer = signer
        self._service = service
        self._host = socket.gethostname()
        self._seconds = config.seal_seconds
        room = (config.max_event_bytes - SEAL_BYTES) // BYTES_A_NUMBER
        self._most_numbers = min(config.seal_events, room)
        self._own = Unsealed(producer_id, 0, self._most_numbers)
        self._orphans: list[Orphan] = []
        self._due_at_seconds: float | None = None
        self._is_away = False
        self.first_note = SealNote(service=service, producer_id=producer_id, next_seq=0, place=0)
        self.wants_last = False
        """Whether the logger closes: once all that it has logged is in memory, the last seal is made."""
        self.is_done = False
        """Whether that has been made."""

    def note(self, events: Sequence[QueuedEvent], now_seconds: float) -> None:
        """Take *events*, which come next, and have not been sent."""
        self._own.add(
            [queued.record for queued in events],
            [queued.place for queued in events],
            events[-1].source,
        )
        if self._due_at_seconds is None:
            self._due_at_seconds = now_seconds + self._seconds

    def note_refused(self, record: bytes) -> None:
        """Note that the broker refuses *record* for good: it is set aside, and nobody should look for it."""
        if not self._own.note_refused(record):
            any(orphan.unsealed.note_refused(record) for orphan in self._orphans)

    def check_emitted(self, record: bytes, next_seq: int) -> None:
        """See `Unsealed.check_emitted`."""
        self._own.check_emitted(record, next_seq)

    def due_at_seconds(self) -> float:
        """Return when `look_after` is to be called next, by the monotonic clock."""
        if self.is_done or self._is_away:
            return float("inf")
        if self._own.runs or self._is_long:
            return 0.0
        if any(orphan.is_read or orphan.unsealed.runs for orphan in self._orphans):
            return 0.0
        return float("inf") if self._due_at_seconds is None else self._due_at_seconds

    @property
    def _is_long(self) -> bool:
        first, last = self._own.places
        return self._own.numbers > 0 and split(first)[0] < split(last)[0]

    def look_after(self, queue: SealedQueue, now_seconds: float) -> None:
        """Make and log the seals that are due; what cannot be logged now is tried again with the next turn."""
        if self.is_done:
            return
        due_at = self._due_at_seconds
        if self._is_long or (due_at is not None and now_seconds >= due_at):
            self._own.cut()
            self._due_at_seconds = None  # until the next record comes: the seal's own, if no other
        if not self._own.runs and not self._orphans and not self.wants_last:
            return
        try:
            self._seal_all(queue, now_seconds)
        except (DeliveryError, InvalidEventError, OSError) as error:
            if not self._is_away:
                log.error("a seal cannot be logged, and is tried again: %s", error)
            self._is_away = True
        else:
            self._is_away = False

    def _seal_all(self, queue: SealedQueue, now_seconds: float) -> None:
        for orphan in list(self._orphans):
            self._seal_orphan(queue, orphan)
        own = self._own
        if self._closed is not None and (own.runs or own.next_seq):  # it has made something itself
            self._repeat(queue, self._closed)
        while own.runs:
            run = own.runs[0]
            self._log(queue, self._seal_of(own, run))
            own.runs.popleft()
            note = self._note_of(own, run.last_seq + 1, run.place)
            self._note(queue, run, note)
            self._due_at_seconds = now_seconds + self._seconds
        if self.wants_last and not self._orphans:
            self._seal_last(queue)

    def _repeat(self, queue: SealedQueue, closed: ClosedSeals) -> None:
        for each in closed.waiting():
            if each.seal.producer_id != self._own.producer_id:
                self._log(queue, each.seal, each.data)
            closed.forget(each.name)

    def _note_of(
        self, unsealed: Unsealed, next_seq: int, place: int, *, is_done: bool = False
    ) -> SealNote:
        return SealNote(
            service=self._service,
            producer_id=unsealed.producer_id,
            next_seq=next_seq,
            place=place,
            is_done=is_done,
        )

    def _seal_of(
        self,
        unsealed: Unsealed,
        run: Run,
        *,
        is_last: bool = False,
        own_seq: int | None = None,
    ) -> Seal:
        lost = unsealed.lost_before(run.last_seq + 1 if own_seq is None else own_seq)
        return Seal(
            service=self._service,
            producer_id=unsealed.producer_id,
            first_seq=run.first_seq,
            last_seq=run.last_seq,
            is_last=is_last,
            own_seq=own_seq,
            next_within_seconds=0 if is_last else self._seconds,
            records_hash=run.records_hash,
            short_digests=run.short_digests,
            lost=lost,
        )

    def _seal_orphan(self, queue: SealedQueue, orphan: Orphan) -> None:
        unsealed = orphan.unsealed
        while unsealed.runs:
            run = unsealed.runs[0]
            is_last = orphan.is_read and len(unsealed.runs) == 1
            seal = self._seal_of(unsealed, run, is_last=is_last)
            self._log(queue, seal)
            unsealed.runs.popleft()
            unsealed.forget_lost(seal.lost)
            note = self._note_of(unsealed, run.last_seq + 1, run.place, is_done=is_last)
            with queue.lock:
                orphan.adopted.note_sealed(note)
        if not orphan.is_read:
            return
        self._orphans.remove(orphan)
        with queue.lock:  # also where there was nothing to seal
            orphan.adopted.note_sealed(self._note_of(unsealed, unsealed.next_seq, 0, is_done=True))

    def _log(self, queue: SealedQueue, seal: Seal, data: SealData | None = None) -> None:
        event_id, record = self._record(seal, data or self._signed(seal))
        key, given = seal_session(seal.producer_id).encode(), 0
        while True:
            newest = queue.newest()
            record, given = renumbered(record, given, newest.seq), newest.seq
            if queue.log_own(newest, event_id, key, record) is not None:
                break
        if seal.producer_id == self._own.producer_id:
            self._own.forget_lost(seal.lost)

    def _seal_last(self, queue: SealedQueue) -> None:
        """Seal the rest, and end the journal by the same step; only when all that was logged before has come."""
        own = self._own
        newest = queue.newest()
        if newest.events != queue.next_number or queue.has_fresh():
            return  # with the next turn
        own.cut()
        own.skip_to(newest.seq)
        if not own.runs:  # it has made no record, or they are lost
            self._end(queue)
            return
        run = own.runs[0]
        data = self._signed(seal := self._seal_of(own, run, is_last=True, own_seq=newest.seq))
        event_id, record = self._record(seal, data)
        key = seal_session(seal.producer_id).encode()
        record = renumbered(record, 0, newest.seq)
        if queue.log_own(newest, event_id, key, record, is_last=True) is None:
            return
        own.runs.popleft()
        note = self._note_of(own, newest.seq, run.place, is_done=True)
        self._note(queue, run, note)
        if self._closed is not None:
            self._closed.keep(data)
        self._end(queue)

    def _end(self, queue: SealedQueue) -> None:
        with queue.lock:
            self.is_done = True
            queue.lock.notify_all()

    def _note(self, queue: SealedQueue, run: Run, note: SealNote) -> None:
        """Tell the spool that the records are in, where they are in one, how far it is sealed."""
        if isinstance(run.source, Spool):
            with queue.lock:
                run.source.note_sealed(note)

    def _signed(self, seal: Seal) -> SealData:
        return data_of(seal, self._signer.public_key, self._signer.sign(seal.text.encode()))

    def _record(self, seal: Seal, data: SealData) -> tuple[str, bytes]:
        source = Source(
            host=self._host,
            pid=os.getpid(),
            producer_id=self._own.producer_id,
            seq=0,
            service=self._service,
        )
        draft = EventDraft(
            type=EventType.AUDIT_SEALED,
            session_id=seal_session(seal.producer_id),
            data=_plain(data),
            metadata={},
        )
        made = new_record(draft, source)
        if made is None:  # a name that no event may have, such as an empty one
            raise InvalidEventError("source", "cannot be that of a seal")
        return made

    # What loggers that are gone have left: see `OrphanSeals`.

    def may_seal(self, note: SealNote) -> bool:
        """Tell whether a spool's records are of our service: of another's our key says nothing."""
        return note.service == self._service and not self.is_done

    def begin(self, adopted: AdoptedSpool, note: SealNote) -> None:
        """See `OrphanSeals.begin`."""
        self._orphans.append(Orphan(adopted, note, self._most_numbers))

    def read(self, adopted: AdoptedSpool, frames: Sequence[Frame], places: Sequence[int]) -> None:
        """See `OrphanSeals.read`."""
        orphan = self._orphan_of(adopted)
        if orphan is None or not frames:
            return
        records = [frame.record for frame in frames]
        if not orphan.has_begun:
            orphan.has_begun = orphan.unsealed.begin_with(records)
        orphan.unsealed.add(records, places, adopted)

    def end(self, adopted: AdoptedSpool) -> None:
        """See `OrphanSeals.end`."""
        if (orphan := self._orphan_of(adopted)) is not None:
            orphan.unsealed.cut()
            orphan.is_read = True

    def _orphan_of(self, adopted: AdoptedSpool) -> Orphan | None:
        return next((each for each in self._orphans if each.adopted is adopted), None)


def sealer_of(
    signer: Signer, service: str, producer_id: str, config: ProducerConfig, clock: Clock
) -> Sealer:
    """Return the sealer of a logger, which keeps its last seal where it has a folder of spools.

    Raises:
        ConfigError: As `root_of`.
    """
    closed = None
    if config.mode == "durable":
        closed = ClosedSeals(root_of(config), config.kafka, service, clock)
    return Sealer(signer, service, producer_id, config, closed)


def _plain(data: object) -> dict[str, object]:
    plain: dict[str, object] = msgspec.json.decode(encode_sorted(data))
    return plain
