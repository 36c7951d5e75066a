"""Which signed checkpoint, and which anchor, shows that a log had a leaf: the first anchor that covers it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from trailhouse.anchoring.anchor_store import AnchorStore, StoredAnchor
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.proof.anchor import Anchor, parse_anchor
from trailhouse.proof.checkpoint import Checkpoint, parse_checkpoint
from trailhouse.proof.keys import is_signed_by
from trailhouse.proof.note import parse_note, signers
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

EARLIER_MS = 600_000
"""How far the clock of who anchors may be behind the broker's, for the first anchor to be found."""
ANCHORS_AT_ONCE = 30
CHECKPOINTS_AT_ONCE = 50


class Cover(NamedTuple):
    """A signed checkpoint with its cosignatures, and the anchor that names it; None where none does yet."""

    checkpoint: Checkpoint
    note: str
    anchor: StoredAnchor | None


class Covers:
    """Finds covers of logs of *log_name*, by signatures of *keys*."""

    def __init__(self, clickhouse: ClickHouse, log_name: str, keys: Iterable[bytes]) -> None:
        self._clickhouse = clickhouse
        self._log_name = log_name
        self._keys = tuple(keys)
        self.anchors = AnchorStore(clickhouse, log_name, lambda _: self._keys)

    def of(self, log: StoredLog, offset: int, appended_ms: int) -> Cover | None:
        """Return the first anchored checkpoint that covers *offset*; else the first signed one; else None.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        origin = str(log.origin(self._log_name))

        def covered(anchor: Anchor) -> Checkpoint | None:
            mine = (each for each in anchor.checkpoints if each.origin == origin)
            return next((each for each in mine if each.size > offset), None)

        for stored in self.anchored(appended_ms - EARLIER_MS, covered):
            checkpoint = covered(stored.anchor)
            note = None if checkpoint is None else self._signed(log, checkpoint)
            if checkpoint is not None and note is not None:
                return Cover(checkpoint, self._cosigned(note, stored, origin), stored)
        newest = self._signed_after(log, offset + 1, origin)
        return None if newest is None else Cover(newest[0], newest[1], None)

    def anchored(
        self, at_ms: int, wanted: Callable[[Anchor], object], text: str = ""
    ) -> Iterator[StoredAnchor]:
        """Yield the anchors that are *wanted* among some with *text* that were made at *at_ms* and after, and the last.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        rows = self._clickhouse.query(
            "SELECT DISTINCT number, anchor FROM log_anchors"
            " WHERE made_ms >= {at:UInt64} AND position(anchor, {text:String}) > 0"
            " ORDER BY number, anchor LIMIT {limit:UInt32}",
            {"at": max(at_ms, 0), "text": text, "limit": ANCHORS_AT_ONCE},
        ).rows
        for number, content in rows:
            # Its signature is checked only where it is wanted: that is what costs.
            if wanted_of(content, wanted) and (stored := self.anchors.at(number)) is not None:
                yield stored
        last = self.anchors.last()
        if last is not None and wanted(last.anchor):
            yield last

    def _signed(self, log: StoredLog, wanted: Checkpoint) -> str | None:
        """Return the signed note of a checkpoint, None where none is stored."""
        rows = self._clickhouse.query(
            f"SELECT DISTINCT checkpoint FROM log_checkpoints WHERE {log.condition} AND size = {{size:UInt64}}"  # noqa: S608 - names of ours
            " ORDER BY checkpoint LIMIT {limit:UInt32}",
            {**log.parameters, "size": wanted.size, "limit": CHECKPOINTS_AT_ONCE},
        ).rows
        return next((note for (note,) in rows if self._is_signed(note, wanted)), None)

    def _signed_after(
        self, log: StoredLog, size: int, origin: str
    ) -> tuple[Checkpoint, str] | None:
        rows = self._clickhouse.query(
            f"SELECT DISTINCT size, checkpoint FROM log_checkpoints WHERE {log.condition}"  # noqa: S608 - names of ours
            " AND size >= {size:UInt64} ORDER BY size, checkpoint LIMIT {limit:UInt32}",
            {**log.parameters, "size": size, "limit": CHECKPOINTS_AT_ONCE},
        ).rows
        for _, note in rows:
            try:
                checkpoint, _ = parse_checkpoint(note)
            except ProofError:
                continue
            if checkpoint.origin == origin and self._is_signed(note, checkpoint):
                return checkpoint, note
        return None

    def _is_signed(self, note: str, wanted: Checkpoint) -> bool:
        try:
            parsed = parse_note(note)
        except ProofError:
            return False
        return parsed.text == wanted.text and any(
            _is_by(note, wanted.origin, key) for key in self._keys
        )

    def _cosigned(self, note: str, anchor: StoredAnchor, origin: str) -> str:
        """Return *note* with the witnesses' lines that came back for it."""
        lines: list[str] = []
        for each in self.anchors.receipts(anchor):
            line = each.receipt.decode(errors="replace").strip("\n") + "\n"
            if each.kind == "cosigned" and each.origin == origin and _is_line(note, line):
                lines.append(line)
        return note + "".join(sorted(set(lines)))


def wanted_of(content: str, wanted: Callable[[Anchor], object]) -> bool:
    """Tell whether the anchor in *content*, whoever wrote it, is *wanted*."""
    try:
        return bool(wanted(parse_anchor(content)[0]))
    except ProofError:
        return False


def _is_by(note: str, name: str, key: bytes) -> bool:
    try:
        return name in signers(parse_note(note), {name: key}, is_signed_by)
    except ProofError:
        return False


def _is_line(note: str, line: str) -> bool:
    try:
        parse_note(note + line)
    except ProofError:
        return False
    return "\n" not in line[:-1] and bool(line[:-1])


def keys_of_log(public_keys: Sequence[bytes], own: bytes | None) -> tuple[bytes, ...]:
    """Return each key once, with the one that this process signs by."""
    return tuple(dict.fromkeys([*public_keys, *([own] if own is not None else [])]))
