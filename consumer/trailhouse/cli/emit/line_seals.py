"""Seals of what `trailhouse emit` has made of lines: its numbers are its own, so its logger's seals do not name them.

The journal keeps the hash of each record until a seal that names it is logged. So a run that was killed, or whose
events still wait in a spool, is sealed by the next one of the same input.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

import msgspec

from trailhouse.cli.emit.journal import EmitJournal, State, UnsealedLine
from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.sealing.sealer import BYTES_A_NUMBER, SEAL_BYTES
from trailhouse.proof.seal import MOST_LOST_RANGES, Range, data_of, ranges_of, seal_session, sealed
from trailhouse.schemas.errors import QueueFullError, SpoolFullError

if TYPE_CHECKING:
    from trailhouse.proof.keys import Signer


class LogSeal(Protocol):
    """Logs a seal."""

    def __call__(self, session_id: str, data: Mapping[str, object], /) -> None:
        """Log an event `audit_sealed`; on return it is in the spool's file, or the broker has it.

        Raises:
            DeliveryError: It cannot be logged. Retriable.
        """
        ...


class LineSeals:
    """Seals what this run and earlier ones of the same input have made, by the service's key.

    Args:
        journal: What they have made.
        signer: The key.
        service: Whose it is; what runs of another service have made stays as it is.
        config: How often, and how large an event may be.
        log: Logs a seal.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        journal: EmitJournal,
        signer: "Signer",
        service: str,
        config: ProducerConfig,
        log: LogSeal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._signer = signer
        self._service = service
        self._seconds = config.seal_seconds
        self._most = min(
            config.seal_events, (config.max_event_bytes - SEAL_BYTES) // BYTES_A_NUMBER
        )
        self._log = log
        self._clock = clock
        self._due_at_seconds = clock() + self._seconds
        self._planned = 0

    def look(self, planned: int = 0) -> None:
        """Seal what of this run is settled, if that is due; *planned* lines more were noted since the last call.

        The newest is left for the last seal, which has to say something. What finds no room is sealed with the next.
        """
        self._planned += planned
        if self._planned < self._most and self._clock() < self._due_at_seconds:
            return
        self._planned, self._due_at_seconds = 0, self._clock() + self._seconds
        self._journal.note()
        run = self._journal.run
        while True:
            lines = self._journal.unsealed(run, self._most + 1)
            settled = list(takewhile(_is_settled, lines))
            if len(settled) == len(lines):
                settled = settled[:-1]
            parts = list(_parts(settled, self._most))
            if not parts:
                return
            try:
                self._seal(run, parts[0], is_last=False)
            except (SpoolFullError, QueueFullError):
                return
            if len(settled) < self._most:
                return

    def finish(self) -> None:
        """Seal all that is noted: the broker has it, or it is named as lost.

        Raises:
            DeliveryError: As `LogSeal`; what was not sealed is by the next run.
        """
        self._journal.note()
        for run in self._journal.unsealed_runs(self._service):
            while lines := self._journal.unsealed(run, self._most + 1):
                part = next(_parts(lines, self._most))
                self._seal(run, part, is_last=len(part) == len(lines))

    def _seal(self, run: int, lines: Sequence[UnsealedLine], *, is_last: bool) -> None:
        producer_id = self._journal.producer_id(run)
        seal = sealed(
            self._service,
            producer_id,
            lines[0].seq,
            [line.record_hash for line in lines],
            next_within_seconds=self._seconds,
            is_last=is_last,
            lost=_lost(lines),
        )
        data = data_of(seal, self._signer.public_key, self._signer.sign(seal.text.encode()))
        self._log(seal_session(producer_id), msgspec.to_builtins(data))
        self._journal.forget_unsealed(run, lines[-1].seq)


def _is_settled(line: UnsealedLine) -> bool:
    return line.state in (None, State.ACKNOWLEDGED)


def _lost(lines: Sequence[UnsealedLine]) -> list[Range]:
    """Return the numbers that were refused, or that nobody knows to have been sent."""
    return list(ranges_of(line.seq for line in lines if line.state is not State.ACKNOWLEDGED))


def _parts(lines: Sequence[UnsealedLine], most: int) -> Iterator[list[UnsealedLine]]:
    """Yield what one seal can name: numbers without a gap, no more than *most*, with few lost ranges."""
    part: list[UnsealedLine] = []
    lost_ranges = 0
    for line in lines:
        is_lost = line.state is not State.ACKNOWLEDGED
        begins = is_lost and not (part and part[-1].state is not State.ACKNOWLEDGED)
        is_full = len(part) == most or (begins and lost_ranges == MOST_LOST_RANGES)
        if part and (is_full or line.seq != part[-1].seq + 1):
            yield part
            part, lost_ranges, begins = [], 0, is_lost
        lost_ranges += begins
        part.append(line)
    if part:
        yield part
