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

LOOKED_AT_FIRST = 4
LOOKED_AT = 1_000
"""So many rows of checkpoints are looked through for one of ours."""
CHUNK_LEAVES = 4_096


class Restored(NamedTuple):
    """A partition's log: its state, how much of it a checkpoint covers that is as it should be, and its generations.

    `generations` are the names and the offsets from which on each has leaves of its own, the newest last.
    """

    state: LogState
    covered_size: int
    is_signed: bool
    generations: tuple[tuple[str, int], ...]


class LogRestorer:
    """Reads the logs of one topic back."""

    def __init__(self, stored: StoredLog, log_name: str, public_key: bytes | None) -> None:
        """Prepare; *public_key* is the one that signed what is trusted, None where nothing is signed."""
        self._stored = stored
        self._log_name = log_name
        self._public_key = public_key

    def restored(self, starts: Mapping[int, int]) -> dict[int, Restored]:
        """Return the log of each partition, which is to be read from its offset in *starts* on.

        A log is at least as large as that offset: what has no leaf below is a hole. It is larger where more was signed.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        generations = self._stored.generations(list(starts))
        return {
            number: self._restored(number, start, generations.get(number, ()))
            for number, start in starts.items()
        }

    def _restored(self, number: int, start: int, known: Iterable[Generation]) -> Restored:
        names = self._stored.origin
        first = LogOrigin(self._log_name, names.topic, names.topic_id, number)
        ordered = sorted(known, key=lambda each: (_number_of(each.name), each.name))
        trusted: list[tuple[Generation, StoredCheckpoint, bool]] = []
        for generation in ordered:
            origin = first._replace(generation=generation.name)
            found = self._newest(origin, generation)
            if found is not None:
                trusted.append((generation, *found))
        # Where one of ours is signed, what is not is not of ours.
        if any(is_signed for _, _, is_signed in trusted):
            trusted = [each for each in trusted if each[2]]
        lineage = tuple((each.name, each.first_size) for each, _, _ in trusted)
        if not trusted:
            state = self._extended(LogState(first), start)
            return Restored(state, 0, False, ((first.generation, 0),))
        generation, checkpoint, is_signed = trusted[-1]
        origin = first._replace(generation=generation.name)
        state = self._extended(LogState(origin, checkpoint.size, checkpoint.roots), start)
        return Restored(state, checkpoint.size, is_signed, ((lineage[0][0], 0), *lineage[1:]))

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

    def _extended(self, state: LogState, start: int) -> LogState:
        """Return *state* with the leaves that are stored from its size up to *start*, and holes between them."""
        if start <= state.size:
            return state
        tree = CompactRange(state.size, state.roots)
        leaves = self._stored.leaves(
            state.origin.partition, state.origin.generation, state.size, start
        )
        for run in _runs(leaves):
            tree.extend_holes(run[0].offset - tree.size)
            tree.extend([hash_of_leaf(*leaf[1:]) for leaf in run])
        tree.extend_holes(start - tree.size)
        return state._replace(size=tree.size, roots=tree.roots)


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
