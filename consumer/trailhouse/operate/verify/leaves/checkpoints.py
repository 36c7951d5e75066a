"""Judge stored checkpoints by the roots that the leaves have, and by whose signature they bear."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from trailhouse.operate.verify.logs import (
    LOG_COLUMNS,
    OF_GENERATION,
    Bounds,
    LogId,
    in_groups,
    log_in,
    log_of,
)
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.checkpoint import Checkpoint, checkpoint_of
from trailhouse.proof.merkle import CompactRange, joined
from trailhouse.proof.note import Note, parse_note
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

IsSigned = Callable[[Checkpoint, Note], bool | None]
"""Whether a key that counts has signed it; None where no policy says which do."""
PAGE_ROWS = 10_000
MAX_CHECKPOINT_BYTES = 16_384
MAX_FOUND = 10_000
SIGNATURES_CHECKED = 100
"""Of so many that fit the signature is checked in each log, and of the newest: the root says all that the others do."""

_COLUMNS = f"size, arrayMap(each -> hex(each), roots), substring(checkpoint, 1, {MAX_CHECKPOINT_BYTES + 1})"
_FIRST_PAGES = f"""
    SELECT kafka_partition, {_COLUMNS} FROM log_checkpoints
    WHERE {{}} AND (size, checkpoint) > (0, '')
    ORDER BY kafka_partition, size, checkpoint LIMIT {{{{most:UInt32}}}} BY kafka_partition
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SQL = f"""
    SELECT {_COLUMNS} FROM log_checkpoints
    WHERE {OF_GENERATION} AND (size, checkpoint) > ({{after:UInt64}}, {{text:String}})
    ORDER BY size, checkpoint LIMIT {PAGE_ROWS}
"""  # noqa: S608 - names of ours; every value is a bound parameter


class StoredCheckpoint(NamedTuple):
    """A row of `log_checkpoints`."""

    size: int
    roots: tuple[str, ...]
    content: str


class Fault(StrEnum):
    """What is wrong with a checkpoint; NONE where nothing is."""

    NONE = "none"
    MALFORMED = "malformed"
    OTHER_LOG = "other_log"
    FORGED = "forged"
    """Its root is not that of the leaves, and no key of the log has signed it."""
    DIFFERS = "differs"
    """Its root is not that of the leaves, and a key of the log has signed it."""
    DIFFERS_UNPROVEN = "differs_unproven"
    """… and whose key has signed it cannot be told."""
    ROOTS = "roots"
    """The subtrees beside it are not those of its root."""


class Judged(NamedTuple):
    """One checkpoint that says something, and what is wrong with it."""

    fault: Fault
    checkpoint: Checkpoint
    content: str
    roots: tuple[str, ...]
    since: int
    """The size of the last one before it that fits."""

    def kept(self, log: LogId) -> Kept:
        """Return what a later run goes on from."""
        return Kept(log=log, size=self.checkpoint.size, roots=self.roots, checkpoint=self.content)


class CheckpointPage(NamedTuple):
    """Stored checkpoints of one log, the smallest first, and whether there may be more."""

    checkpoints: Sequence[StoredCheckpoint]
    is_last: bool


def first_checkpoints(
    clickhouse: ClickHouse, firsts: Mapping[LogId, int]
) -> dict[LogId, CheckpointPage]:
    """Return for each log the stored checkpoints of at least so many leaves that `checkpoints_of` begins with.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    most = max(10, PAGE_ROWS // max(1, len(firsts)))
    found: dict[LogId, list[StoredCheckpoint]] = {log: [] for log in firsts}
    bounds = {log: Bounds(first, 0) for log, first in firsts.items()}
    for group in in_groups(bounds, "size >= {first}"):
        sql = _FIRST_PAGES.format(group.condition)
        for partition, *row in clickhouse.query(sql, {**group.parameters, "most": most}).rows:
            found[group.by_partition[int(partition)]].append(_stored(row))
    return {log: CheckpointPage(each, len(each) < most) for log, each in found.items()}


def checkpoints_of(
    clickhouse: ClickHouse, log: LogId, page: CheckpointPage
) -> Iterator[StoredCheckpoint]:
    """Yield the stored checkpoints of *log*, the smallest first: those of *page*, and those that follow.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    while True:
        yield from page.checkpoints
        if page.is_last:
            return
        last = page.checkpoints[-1]
        page = _page_after(clickhouse, log, last.size, last.content)


def checkpoints_from(clickhouse: ClickHouse, log: LogId, first: int) -> Iterator[StoredCheckpoint]:
    """Yield the stored checkpoints of *log* of at least *first* leaves, which are some, the smallest first.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    return checkpoints_of(clickhouse, log, _page_after(clickhouse, log, first - 1, "\U0010ffff"))


def _page_after(clickhouse: ClickHouse, log: LogId, size: int, content: str) -> CheckpointPage:
    rows = clickhouse.query(_SQL, {**log.parameters, "after": size, "text": content}).rows
    return CheckpointPage(list(map(_stored, rows)), len(rows) < PAGE_ROWS)


def _stored(row: Sequence[Any]) -> StoredCheckpoint:
    size, roots, content = row
    return StoredCheckpoint(int(size), tuple(map(str.lower, roots)), content)


def newest_sizes(clickhouse: ClickHouse) -> dict[LogId, int]:
    """Return the size of the largest stored checkpoint of each log that has one.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        f"SELECT {LOG_COLUMNS}, max(size) FROM log_checkpoints GROUP BY {LOG_COLUMNS}"  # noqa: S608 - names of ours
    ).rows
    return {log_in(row): int(row[-1]) for row in rows}


def newest_size(clickhouse: ClickHouse, log: LogId) -> int:
    """Return the size of the largest stored checkpoint of *log*; 0 without one.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    sql = f"SELECT max(size) FROM log_checkpoints WHERE {OF_GENERATION}"  # noqa: S608 - names of ours
    return int(clickhouse.query(sql, log.parameters).rows[0][0])


class Judge:
    """Judges the checkpoints of one log, the smallest first."""

    def __init__(self, is_signed: IsSigned, log: LogId) -> None:
        self._by_a_key = is_signed
        self._log = log
        self.found: list[Judged] = []
        self.good: Judged | None = None
        """The newest that fits and that a key of the log has signed."""
        self.checked = 0
        self._fitting: Judged | None = None
        self._signatures = 0
        self._unchecked: Judged | None = None

    def judge(
        self, tree: CompactRange, checkpoints: Sequence[StoredCheckpoint]
    ) -> CompactRange | None:
        """Judge *checkpoints*, all of the size that *tree* has now.

        Returns:
            The tree to go on with where a signed one differs: so the next ones say whether what follows is right.
        """
        adopted = None
        root, since = tree.root(), self._fitting.checkpoint.size if self._fitting else 0
        for stored in checkpoints:
            self.checked += 1
            judged = self._judged(stored, root, since, tree)
            if judged.fault is Fault.NONE:
                self._fitting = judged
                self._note_fitting(judged)
            elif len(self.found) < MAX_FOUND:
                self.found.append(judged)
            if judged.fault in (Fault.DIFFERS, Fault.DIFFERS_UNPROVEN):
                adopted = _tree_of(judged) or adopted
        return adopted

    def finish(self) -> None:
        """Check the signature of the newest that fits, where so many fit that not each was checked."""
        if self._unchecked is not None and self._bears_signature(self._unchecked):
            self.good = self._unchecked
        self._unchecked = None

    def _note_fitting(self, judged: Judged) -> None:
        if self._signatures >= SIGNATURES_CHECKED:
            self._unchecked = judged
            return
        self._signatures += 1
        if self._bears_signature(judged):
            self.good = judged

    def _bears_signature(self, judged: Judged) -> bool:
        checkpoint, note = _parsed(judged.content)
        return bool(self._is_signed(checkpoint, note))

    def _judged(
        self, stored: StoredCheckpoint, root: bytes, since: int, tree: CompactRange
    ) -> Judged:
        nothing = Checkpoint("", stored.size, root)
        try:
            checkpoint, note = _parsed(stored.content)
        except ProofError:
            return Judged(Fault.MALFORMED, nothing, "", (), since)

        def result(fault: Fault) -> Judged:
            return Judged(fault, checkpoint, stored.content, stored.roots, since)

        if log_of(checkpoint.origin, (self._log,)) is None or checkpoint.size != stored.size:
            return result(Fault.OTHER_LOG)
        if checkpoint.root != root:
            signed = self._is_signed(checkpoint, note)
            if signed is None:
                return result(Fault.DIFFERS_UNPROVEN)
            return result(Fault.DIFFERS if signed else Fault.FORGED)
        if tuple(each.hex() for each in tree.roots) != stored.roots:
            return result(Fault.ROOTS)
        return result(Fault.NONE)

    def _is_signed(self, checkpoint: Checkpoint, note: Note | None) -> bool | None:
        return False if note is None else self._by_a_key(checkpoint, note)


def is_signed_by_log(policy: Policy, checkpoint: Checkpoint, note: Note) -> bool:
    """Tell whether one of the log's keys that count for *checkpoint* has signed it, as *note*."""
    from trailhouse.proof.keys import is_signed_by, parse_public_key
    from trailhouse.proof.note import signers

    if not checkpoint.origin.startswith(f"{policy.log_name}/"):
        return False
    for key in policy.log_keys:
        if not key.signs(checkpoint.origin, checkpoint.size):
            continue
        try:
            public_key = parse_public_key(key.public_key)
            if signers(note, {checkpoint.origin: public_key}, is_signed_by):
                return True
        except ProofError:
            continue
    return False


def _parsed(content: str) -> tuple[Checkpoint, Note | None]:
    """Return what *content* says, and its signatures where it has any: without a key, the text alone is stored."""
    if len(content) > MAX_CHECKPOINT_BYTES:
        raise ProofError("checkpoint: is too large")
    if "\n\n" in content:
        note = parse_note(content, "checkpoint")
        return checkpoint_of(note.text), note
    return checkpoint_of(content), None


def _tree_of(judged: Judged) -> CompactRange | None:
    """Return the tree that a signed checkpoint stands for, where the subtrees beside it are its root's."""
    try:
        roots = [bytes.fromhex(root) for root in judged.roots]
        if joined(roots) != judged.checkpoint.root:
            return None
        return CompactRange(judged.checkpoint.size, roots)
    except ValueError:
        return None
