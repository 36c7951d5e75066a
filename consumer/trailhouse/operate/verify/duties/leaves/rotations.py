"""Keys of the log that follow upon another: the checkpoints at which they begin bear their signature. A part of duty 3.

At a rotation both keys sign one checkpoint of each log, so that whoever trusted the one before has reason to trust the
next. After a revocation the next one alone signs what was anchored: the one before may be anybody's.
"""

from collections.abc import Iterator
from itertools import pairwise

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.checkpoints import MAX_CHECKPOINT_BYTES
from trailhouse.operate.verify.logs import OF_GENERATION, LogId, log_of
from trailhouse.operate.verify.run import Run
from trailhouse.proof.checkpoint import checkpoint_of
from trailhouse.proof.note import Note, parse_note
from trailhouse.proof.policy import LogKey
from trailhouse.schemas.errors import ProofError

MOST_OF_A_SIZE = 100
"""So many checkpoints of one size are looked at: more are none of the log's."""

_SQL = f"""
    SELECT substring(checkpoint, 1, {MAX_CHECKPOINT_BYTES + 1}) FROM log_checkpoints
    WHERE {OF_GENERATION} AND size = {{size:UInt64}} AND position(checkpoint, '\\n\\n') > 0
    ORDER BY length(checkpoint) DESC LIMIT {MOST_OF_A_SIZE}
"""  # noqa: S608 - names of ours; every value is a bound parameter

_ABOVE = f"""
    SELECT substring(checkpoint, 1, {MAX_CHECKPOINT_BYTES + 1}) FROM log_checkpoints
    WHERE {OF_GENERATION} AND size > {{above:UInt64}} AND position(checkpoint, '\\n\\n') > 0
    ORDER BY size DESC LIMIT {MOST_OF_A_SIZE}
"""  # noqa: S608 - as above


def tell_rotations(run: Run, found: Findings) -> None:
    """Tell the logs in which a key began without the checkpoint that it must have signed there."""
    try:
        keys = run.policy.log_keys
    except CannotCheckError:  # whoever looks at signatures says so
        return
    for before, after in pairwise(keys):
        wanted = (after,) if before.is_revoked else (before, after)
        for origin, size in after.first_sizes.items():
            if size and not any(
                _is_signed(note, origin, wanted) for note in _notes(run, origin, size)
            ):
                found.add(
                    "rotation_unsigned",
                    log=str(run.log_of(origin) or origin),
                    first_offset=size - 1,
                    table="log_checkpoints",
                    meaning="a key of the log begins here, and no checkpoint of this size is signed by it"
                    + ("" if before.is_revoked else " and by the one before"),
                    way_out="restore log_checkpoints, or put the checkpoint back that the change of keys has made;"
                    " without it nobody but the owner says that this key follows",
                )


def signed_by_former(run: Run, log: LogId, above: int, *, or_revoked: bool = False) -> int:
    """Return how many leaves of *log*, more than *above*, a key has signed that another one follows; 0 where none has.

    A worker that was not started again since the key was rotated goes on by the one that it has. Its root says nothing
    here: one that the leaves do not have is told as forged. Of keys that were revoked only with *or_revoked*.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    closed = [key for key in run.policy.log_keys if key.last_sizes is not None]
    keys = [key for key in closed if or_revoked or not key.is_revoked]
    if not keys:
        return 0
    values = {**log.parameters, "above": above}
    for (content,) in run.clickhouse.query(_ABOVE, values).rows:
        try:
            note = parse_note(content, "checkpoint")
            checkpoint = checkpoint_of(note.text)
        except ProofError:
            continue
        if log_of(checkpoint.origin, (log,)) is not None and any(
            _is_signed(note, checkpoint.origin, (key,)) for key in keys
        ):
            return checkpoint.size
    return 0


def _notes(run: Run, origin: str, size: int) -> Iterator[Note]:
    log = run.log_of(origin)
    if log is None:
        return
    for (content,) in run.clickhouse.query(_SQL, {**log.parameters, "size": size}).rows:
        try:
            note = parse_note(content, "checkpoint")
            checkpoint = checkpoint_of(note.text)
        except ProofError:
            continue
        if (checkpoint.origin, checkpoint.size) == (origin, size):
            yield note


def _is_signed(note: Note, origin: str, keys: tuple[LogKey, ...]) -> bool:
    """Tell whether each of *keys* has signed *note*."""
    from trailhouse.proof.keys import is_signed_by, parse_public_key
    from trailhouse.proof.note import signers

    try:
        return all(
            signers(note, {origin: parse_public_key(key.public_key)}, is_signed_by) for key in keys
        )
    except ProofError:
        return False
