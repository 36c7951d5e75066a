"""Where each partition's log goes on at an assignment: from its newest checkpoint and the leaves stored after it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trailhouse.consumer.proof_log.growth import LogState
from trailhouse.consumer.proof_log.leaves import Leaf
from trailhouse.consumer.proof_log.stored_log import Generation, StoredCheckpoint, StoredLog
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.keys import is_signed_by
from trailhouse.proof.leaf import hash_of_leaf
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.note import parse_note, signers
from trailhouse.proof.origin import LogOrigin, parse_origin
from trailhouse.schemas.errors import ProofError
from trailhouse.schemas.ranges import Ranges

LOOKED_AT_FIRST = 4
LOOKED_AT = 1_000
"""So many rows of checkpoints are looked through for one of ours."""
CHUNK_LEAVES = 4_096
NO_RANGES = Ranges()


class Restored(NamedTuple):
    """A partition's log, and from where on it is to be read.

    Attributes:
        state: It, up to `start` or to what was signed, whichever is more.
        start: Where to read on; below what was asked where leaves are missing that no incident explains.
        covered_size: How large the checkpoint was from which it was taken; 0 without one.
        is_signed: Whether that is signed by our key.
        generations: Names, and the offsets from which on each has leaves of its own, the newest last.
    """

    state: LogState
    start: int
    covered_size: int
    is_signed: bool
    generations: tuple[tuple[str, int], ...]
    unproven: Ranges = NO_RANGES
    """Where a log that is not signed yet has holes since it begins above them, and no incident says why."""


class LogRestorer:
    """Reads the logs of one topic back."""

    def __init__(self, stored: StoredLog, log_name: str, public_key: bytes | None) -> None:
        """Prepare; *public_key* is the one that signed what is trusted, None where nothing is signed."""
        self._stored = stored
        self._log_name = log_name
        self._public_key = public_key

    def restored(
        self, starts: Mapping[int, int], log_starts: Mapping[int, int]
    ) -> dict[int, Restored]:
        """Return the log of each partition, which is to be read from its offset in *starts* on.

        What has no leaf below that offset is a hole, where an incident says why, and below the first leaf of a log
        that is not signed yet. Else its leaf was lost, as by a backup of ClickHouse that was restored in part: the
        partition is read again from there, if Kafka has it: not below its offset in *log_starts*.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        generations = self._stored.generations(list(starts))
        return {
            number: self._restored(
                number, start, log_starts.get(number, 0), generations.get(number, ())
            )
            for number, start in starts.items()
        }

    def _restored(
        self, number: int, start: int, log_start: int, known: Iterable[Generation]
    ) -> Restored:
        names = self._stored.origin
        first = LogOrigin(self._log_name, names.topic, names.topic_id, number)
        trusted = self._trusted(first, known)
        if trusted:
            generation, checkpoint, is_signed = trusted[-1]
            base = LogState(
                first._replace(generation=generation.name), checkpoint.size, checkpoint.roots
            )
        else:
            base, is_signed = LogState(first), False
        lineage = [(each.name, each.first_size) for each, _, _ in trusted] or [("1", 0)]
        lineage[0] = (lineage[0][0], 0)
        state, holes = self._extended(base, start)
        unproven = NO_RANGES
        if not trusted and holes.first == 0:
            # A log begins where it was adopted: nothing below its first leaf was ever read.
            below, *above = holes
            unproven = Ranges([below]) - self._stored.explained(number, *below)
            holes = Ranges(above)
        lost = holes & Ranges([(log_start, start)])
        if lost and lost.first is not None and lost.last is not None:
            lost -= self._stored.explained(number, lost.first, lost.last)
        if lost.first is not None:
            start = lost.first
            state, _ = self._extended(base, start)
        return Restored(state, start, base.size, is_signed, tuple(lineage), unproven)

    def _trusted(
        self, first: LogOrigin, known: Iterable[Generation]
    ) -> list[tuple[Generation, StoredCheckpoint, bool]]:
        """Return the generations that are what they should be, in order, with their largest checkpoint.

        Where something is signed by our key, what is not is not of ours, but for a generation whose name commits to one
        before it: the key could not be used when it began.
        """
        found: list[tuple[Generation, StoredCheckpoint, bool]] = []
        for generation in sorted(known, key=lambda each: (_number_of(each.name), each.name)):
            origin = first._replace(generation=generation.name)
            newest = self._newest(origin, generation)
            if newest is not None:
                found.append((generation, *newest))
        if not any(is_signed for _, _, is_signed in found):
            return found
        trusted: list[tuple[Generation, StoredCheckpoint, bool]] = []
        for each in found:
            if each[2] or (trusted and self._succeeds(first, trusted[-1][0], each[0])):
                trusted.append(each)
        return trusted

    def _succeeds(self, first: LogOrigin, before: Generation, after: Generation) -> bool:
        """Tell whether the name of *after* commits to a checkpoint of *before*."""
        origin = first._replace(generation=before.name)
        rows = self._stored.checkpoints(
            origin.partition, before.name, up_to=before.last_size, limit=LOOKED_AT
        )
        return any(
            origin.successor(row.text.partition("\n\n")[0].rstrip("\n") + "\n").generation
            == after.name
            for row in rows
        )

    def _newest(
        self, origin: LogOrigin, generation: Generation
    ) -> tuple[StoredCheckpoint, bool] | None:
        """Return the largest checkpoint that is what it should be, and whether it is signed; a signed one first."""
        fallback: StoredCheckpoint | None = None
        for limit in (LOOKED_AT_FIRST, LOOKED_AT):
            rows = self._stored.checkpoints(
                origin.partition, generation.name, up_to=generation.last_size, limit=limit
            )
            for row in rows:
                is_signed = self._standing(origin, row)
                if is_signed or (is_signed is not None and self._public_key is None):
                    return row, is_signed
                if is_signed is not None and fallback is None:
                    fallback = row
            if len(rows) < limit:
                break
        return None if fallback is None else (fallback, False)

    def _standing(self, origin: LogOrigin, row: StoredCheckpoint) -> bool | None:
        """Tell whether *row* is signed by our key; None where it is not a checkpoint of this log at all."""
        try:
            tree = CompactRange(row.size, row.roots)
            signed_note = parse_note(row.text, "checkpoint") if "\n\n" in row.text else None
            checkpoint = checkpoint_of(row.text if signed_note is None else signed_note.text)
            named = parse_origin(checkpoint.origin)
            if str(named._replace(log_name=origin.log_name)) != str(origin):
                return None
            if (checkpoint.size, checkpoint.root) != (row.size, tree.root()):
                return None
            if self._public_key is None or signed_note is None:
                return False
            trusted = {str(origin): self._public_key}
            return bool(signers(signed_note, trusted, is_signed_by))
        except (ProofError, ValueError):
            return None

    def _extended(self, state: LogState, start: int) -> tuple[LogState, Ranges]:
        """Return *state* with the leaves that are stored from its size up to *start*, and the holes between them."""
        if start <= state.size:
            return state, Ranges()
        tree = CompactRange(state.size, state.roots)
        holes: list[tuple[int, int]] = []

        def fill(end: int) -> None:
            holes.append((tree.size, end - 1))
            tree.extend_holes(end - tree.size)

        origin = state.origin
        leaves = self._stored.leaves(origin.partition, origin.generation, state.size, start)
        for run in _runs(leaves):
            fill(run[0].offset)
            tree.extend([hash_of_leaf(*leaf[1:]) for leaf in run])
        fill(start)
        return state._replace(size=tree.size, roots=tree.roots), Ranges(holes)


def _number_of(generation: str) -> int:
    number = generation.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def _runs(leaves: Iterator[Leaf]) -> Iterator[list[Leaf]]:
    """Yield leaves that follow each other without a hole, not too many at a time; of two in one place the first."""
    run: list[Leaf] = []
    for leaf in leaves:
        if run and leaf.offset == run[-1].offset:
            continue
        if run and (leaf.offset != run[-1].offset + 1 or len(run) == CHUNK_LEAVES):
            yield run
            run = []
        run.append(leaf)
    if run:
        yield run
