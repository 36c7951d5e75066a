"""What the log's key has signed: the newest checkpoint of each log, the last anchor, and what it holds."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from trailhouse.proof.anchor import Anchor, anchor_name, parse_anchor
from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.proof.keys import Signer, is_signed_by, parse_public_key
from trailhouse.proof.note import Note, Signature, key_id, signed, signers
from trailhouse.proof.origin import parse_origin
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError, QueryError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.tables import LOG_CHECKPOINTS

_LOG = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, generation"
_MOST_LOGS = 10_000
_ROWS = 1_000
"""So many are looked through at a time, of each log and of anchors, however many a stranger adds."""
_MAX_BYTES = 16 * 1024 * 1024
"""No anchor is longer, and no checkpoint."""


class SignedCheckpoint(NamedTuple):
    """A checkpoint with the row that it stands in."""

    checkpoint: Checkpoint
    note: Note
    row: tuple[object, ...]
    """Of `log_checkpoints`, up to `roots`."""


def newest_checkpoints(storage: ClickHouse, policy: Policy) -> list[SignedCheckpoint]:
    """Return the newest checkpoint of each log that a key of *policy* has signed, by origin.

    Raises:
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    found: dict[str, SignedCheckpoint] = {}
    logs = storage.query(
        f"SELECT DISTINCT {_LOG} FROM log_checkpoints LIMIT {{most:UInt32}}",  # noqa: S608 - names of ours
        {"most": _MOST_LOGS},
    ).rows
    for log in logs:
        _add_newest(storage, policy, log, found)
    return [found[origin] for origin in sorted(found)]


def _add_newest(
    storage: ClickHouse,
    policy: Policy,
    log: tuple[object, ...],
    found: dict[str, SignedCheckpoint],
) -> None:
    # Of one log alone, newest first: the table is in that order, so that few rows are read of millions.
    rows = _each(
        storage,
        f"""SELECT {_LOG}, size, roots, checkpoint FROM log_checkpoints
        WHERE kafka_cluster = {{cluster:String}} AND kafka_topic = {{topic:String}}
        AND kafka_topic_id = {{topic_id:String}} AND kafka_partition = {{partition:UInt16}}
        AND generation = {{generation:String}}
        AND length(checkpoint) <= {_MAX_BYTES} ORDER BY size DESC, checkpoint DESC, roots DESC""",  # noqa: S608 - names of ours
        dict(zip(("cluster", "topic", "topic_id", "partition", "generation"), log, strict=True)),
        "checkpoint",
    )
    for *row, content in rows:
        try:
            checkpoint, note = parse_checkpoint(content)
            is_ours = parse_origin(checkpoint.origin).log_name == policy.log_name
        except ProofError:
            continue
        keys = policy.checkpoint_keys(checkpoint.origin, checkpoint.size)
        if (
            is_ours
            and checkpoint.origin not in found
            and any(bears(note, checkpoint.origin, key.public_key) for key in keys)
        ):
            found[checkpoint.origin] = SignedCheckpoint(checkpoint, note, tuple(row))
            return


def _each(
    storage: ClickHouse, sql: str, values: Mapping[str, object], content: str
) -> Iterator[tuple[Any, ...]]:
    """Yield all rows of *sql*, some at a time: the first is nearly always the one that is wanted."""
    limit, skip = 4, 0
    while True:
        rows = storage.query(
            f"{sql} LIMIT {limit} OFFSET {skip}", dict(values), bytes_columns=(content,)
        ).rows
        yield from rows
        if len(rows) < limit:
            return
        skip, limit = skip + limit, min(limit * 16, _ROWS)


def bears(note: Note, name: str, public_key: str) -> bool:
    """Tell whether *note* bears the signature of *public_key*, in base64, under *name*."""
    try:
        return name in signers(note, {name: parse_public_key(public_key)}, is_signed_by)
    except ProofError:
        return False


def last_anchor(storage: ClickHouse, policy: Policy, number: int | None = None) -> Anchor | None:
    """Return the last anchor that a key of *policy* has signed, or that of *number*; None where there is none.

    Raises:
        QueryError: There is none of *number*. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    rows = _each(
        storage,
        f"""SELECT anchor FROM log_anchors WHERE ({{any:Bool}} OR number = {{number:UInt64}})
        AND length(anchor) <= {_MAX_BYTES} ORDER BY number DESC, anchor DESC""",  # noqa: S608 - a number of ours
        {"any": number is None, "number": number or 0},
        "anchor",
    )
    name = anchor_name(policy.log_name)
    for (content,) in rows:
        try:
            anchor, note = parse_anchor(content)
        except ProofError:
            continue
        if anchor.log_name == policy.log_name and any(
            bears(note, name, key.public_key) for key in policy.anchor_keys(anchor.number)
        ):
            return anchor
    if number:
        raise QueryError(f"no anchor {number} that a key of the log has signed is stored")
    return None


def store_cosigned(
    storage: ClickHouse, checkpoints: list[SignedCheckpoint], signer: Signer
) -> None:
    """Store *checkpoints* with the signature of *signer* besides the one that each has: a rotation's.

    Raises:
        SigningError: The key cannot be used. Retriable.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    if not checkpoints:
        return
    rows = [(*each.row, _cosigned(each, signer)) for each in checkpoints]
    names = [name for name in LOG_CHECKPOINTS.columns if name != "written_at"]
    columns: dict[str, list[object]] = {
        name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    at_ms = int(dt.datetime.now(dt.UTC).timestamp() * 1_000)
    storage.insert(LOG_CHECKPOINTS.block({**columns, "written_at": [at_ms] * len(rows)}))


def _cosigned(each: SignedCheckpoint, signer: Signer) -> str:
    origin, text = each.checkpoint.origin, each.note.text
    made = Signature(origin, key_id(origin, signer.public_key), signer.sign(text.encode()))
    others = [other for other in each.note.signatures if other.key_id != made.key_id]
    return signed(text, [*others, made])
