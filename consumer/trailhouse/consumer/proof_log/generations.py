"""Which stored generations of a log are believed, and their largest checkpoints: anybody may have written the rows."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.consumer.proof_log.log_keys import IsSigned
from trailhouse.consumer.proof_log.stored_log import Generation, StoredCheckpoint, StoredLog
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.note import parse_note
from trailhouse.proof.origin import LogOrigin, generation_number, parse_origin
from trailhouse.schemas.errors import ProofError

FIRST_ROWS, MOST_ROWS = 4, 4_096
"""So many rows of checkpoints are looked through at first, and then at a time: however many a stranger adds."""


class Believed(NamedTuple):
    """A generation, its largest checkpoint that is one of its own, and whether a key that is believed has signed it."""

    generation: Generation
    checkpoint: StoredCheckpoint
    is_signed: bool


class Generations:
    """Of the logs of one topic."""

    def __init__(self, stored: StoredLog, is_signed: IsSigned | None) -> None:
        """Prepare; without *is_signed* nobody signs, and what is well formed is believed."""
        self._stored = stored
        self._is_signed = is_signed

    def believed(self, first: LogOrigin, known: Iterable[Generation]) -> list[Believed]:
        """Return those of *known* that are believed, in order.

        Where somebody signs, what is not signed is not of ours, but for a generation whose name commits to one before
        it: the key could not be used when it began.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        found: list[Believed] = []
        for generation in sorted(known, key=lambda each: (generation_number(each.name), each.name)):
            origin = first._replace(generation=generation.name)
            newest = self._newest(origin, generation)
            if newest is not None:
                found.append(Believed(generation, *newest))
        if self._is_signed is None:
            return found
        believed: list[Believed] = []
        for each in found:
            if each.is_signed or (believed and self._succeeds(first, believed[-1], each)):
                believed.append(each)
        return believed

    def _succeeds(self, first: LogOrigin, before: Believed, after: Believed) -> bool:
        """Tell whether the name of *after* commits to a checkpoint of *before*."""
        origin = first._replace(generation=before.generation.name)
        return any(
            origin.successor(row.text.partition("\n\n")[0].rstrip("\n") + "\n").generation
            == after.generation.name
            for row in self._rows(origin, before.generation)
        )

    def _rows(self, origin: LogOrigin, generation: Generation) -> Iterator[StoredCheckpoint]:
        """Yield the stored checkpoints of *generation*, the largest first."""
        limit, skip = FIRST_ROWS, 0
        while True:
            rows = self._stored.checkpoints(
                origin.partition,
                generation.name,
                up_to=generation.last_size,
                limit=limit,
                skip=skip,
            )
            yield from rows
            if len(rows) < limit:
                return
            skip += limit
            limit = min(limit * 16, MOST_ROWS)

    def _newest(
        self, origin: LogOrigin, generation: Generation
    ) -> tuple[StoredCheckpoint, bool] | None:
        """Return the largest checkpoint that is what it should be, and whether it is signed; a signed one first."""
        fallback: StoredCheckpoint | None = None
        for row in self._rows(origin, generation):
            is_signed = self._standing(origin, row)
            if is_signed or (is_signed is not None and self._is_signed is None):
                return row, is_signed
            if is_signed is not None and fallback is None:
                fallback = row
        return None if fallback is None else (fallback, False)

    def _standing(self, origin: LogOrigin, row: StoredCheckpoint) -> bool | None:
        """Tell whether *row* is signed by a key that is believed; None where it is no checkpoint of this log at all."""
        try:
            tree = CompactRange(row.size, row.roots)
            note = parse_note(row.text, "checkpoint") if "\n\n" in row.text else None
            checkpoint = checkpoint_of(row.text if note is None else note.text)
            named = parse_origin(checkpoint.origin)
            if str(named._replace(log_name=origin.log_name)) != str(origin):
                return None
            if (checkpoint.size, checkpoint.root) != (row.size, tree.root()):
                return None
            if self._is_signed is None or note is None or checkpoint.origin != str(origin):
                return False
            return self._is_signed(checkpoint, note)
        except (ProofError, ValueError):
            return None
