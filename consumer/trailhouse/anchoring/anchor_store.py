"""The anchors in ClickHouse: which is the last, who was first at a number, and what came back for each.

Whoever can write there can add rows: only what a key of the log has signed, under the number that it bears, is seen.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from trailhouse.proof.anchor import Anchor, file_sha256
from trailhouse.proof.anchor_chain import signed_anchor
from trailhouse.proof.keys import is_signed_by
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.tables import LOG_ANCHOR_OFFERS, LOG_ANCHOR_RECEIPTS, LOG_ANCHORS

ReceiptKind = Literal["written", "cosigned", "timestamped"]
ROWS_AT_ONCE = 100
MOST_FORGED_ROWS = 10_000
_STORED = (
    "SELECT DISTINCT anchor FROM log_anchors WHERE number = {number:UInt64} LIMIT {limit:UInt32}"
)
# The number of a block is drawn and shown to readers under one lock, so whoever reads after his own insert sees every
# row that came before it.
_OFFERED = (
    "SELECT anchor FROM log_anchor_offers WHERE number = {number:UInt64} GROUP BY anchor"
    " ORDER BY min(_block_number), anchor LIMIT {limit:UInt32}"
)
Keys = Callable[[int], Collection[bytes]]


class StoredAnchor(NamedTuple):
    """An anchor, and its whole file."""

    anchor: Anchor
    content: str

    @property
    def sha256(self) -> bytes:
        """The hash of its file."""
        return bytes.fromhex(file_sha256(self.content))


class Receipt(NamedTuple):
    """What came back for an anchor; see `log_anchor_receipts`."""

    kind: ReceiptKind
    source: str
    origin: str = ""
    receipt: bytes = b""


class Countersigned(NamedTuple):
    """What somebody has signed of an anchor, and why not the rest; "" where there is no rest."""

    receipts: Sequence[Receipt]
    failure: str = ""


class AnchorStore:
    """Reads and writes the anchors of *log_name*; *keys* returns of a number the public keys that may sign it."""

    def __init__(self, clickhouse: ClickHouse, log_name: str, keys: Keys) -> None:
        self._clickhouse = clickhouse
        self._log_name = log_name
        self._keys = keys

    def last(self) -> StoredAnchor | None:
        """Return the anchor of the largest number, None before the first.

        Raises:
            ProofError: More rows than anybody would look through are signed by nobody. Permanent until they are gone.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        below = 2**64 - 1
        for _ in range(MOST_FORGED_ROWS // ROWS_AT_ONCE):
            # Grouped by number, so that a forged row cannot stand for what was first.
            found = self._clickhouse.query(
                "SELECT DISTINCT number FROM log_anchors WHERE number < {below:UInt64}"
                " ORDER BY number DESC LIMIT {limit:UInt32}",
                {"below": below, "limit": ROWS_AT_ONCE},
            ).rows
            for (number,) in found:
                if (stored := self.at(number)) is not None:
                    return stored
            if len(found) < ROWS_AT_ONCE:
                return None
            below = found[-1][0]
        raise ProofError(
            f"log_anchors: the {MOST_FORGED_ROWS} rows of the largest numbers are signed by nobody"
        )

    def at(self, number: int) -> StoredAnchor | None:
        """Return the anchor of *number*, None where there is none.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return self._first(_STORED, number)

    def since(self, number: int, limit: int) -> list[StoredAnchor]:
        """Return the anchors of *number* and after, the smallest first, without a gap; at most *limit*.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        found: list[StoredAnchor] = []
        while len(found) < limit and (stored := self.at(number + len(found))) is not None:
            found.append(stored)
        return found

    def claim(self, number: int, content: str) -> StoredAnchor:
        """Store *content* as the anchor of *number*, and return the one that was first there: this, or another's.

        Raises:
            ProofError: It is not signed by one of the keys. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        if (known := self.at(number)) is not None:
            return known
        self._clickhouse.insert(
            LOG_ANCHOR_OFFERS.block(
                {"number": [number], "anchor": [content], "offered_at": [_now_ms()]}
            )
        )
        first = self._first(_OFFERED, number)
        if first is None:
            raise ProofError("anchor: is not signed by a key of the log")
        # By whoever has seen it: the one who offered it may be gone.
        self._clickhouse.insert(LOG_ANCHORS.block({"number": [number], "anchor": [first.content]}))
        return first

    def note(self, anchor: StoredAnchor, receipts: Iterable[Receipt]) -> None:
        """Store what came back for *anchor*.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        rows = list(receipts)
        if not rows:
            return
        count = len(rows)
        self._clickhouse.insert(
            LOG_ANCHOR_RECEIPTS.block(
                {
                    "number": [anchor.anchor.number] * count,
                    "anchor_sha256": [anchor.sha256] * count,
                    "kind": [each.kind for each in rows],
                    "origin": [each.origin for each in rows],
                    "source": [each.source for each in rows],
                    "receipt": [each.receipt for each in rows],
                }
            )
        )

    def receipts(self, anchor: StoredAnchor) -> list[Receipt]:
        """Return what came back for *anchor*, each once; nothing of it is checked.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        found = self._clickhouse.query(
            "SELECT DISTINCT kind, source, origin, receipt FROM log_anchor_receipts"
            " WHERE number = {number:UInt64} AND anchor_sha256 = unhex({sha256:String})"
            " ORDER BY kind, source, origin, receipt",
            {"number": anchor.anchor.number, "sha256": anchor.sha256.hex()},
            bytes_columns=("receipt",),
        )
        return [Receipt(*row) for row in found.rows]

    def signed(self, number: int, content: str | bytes) -> StoredAnchor:
        """Return the anchor that *content* is, of *number* and of this log, signed by a key that may.

        Raises:
            ProofError: It is another, or not signed so. Permanent.
        """
        anchor = signed_anchor(content, self._keys(number), is_signed_by)
        if anchor.number != number or anchor.log_name != self._log_name:
            raise ProofError("anchor: is of another number or log than it stands for")
        return StoredAnchor(anchor, content if isinstance(content, str) else content.decode())

    def _first(self, sql: str, number: int) -> StoredAnchor | None:
        found = self._clickhouse.query(sql, {"number": number, "limit": MOST_FORGED_ROWS})
        for (content,) in found.rows:
            try:
                return self.signed(number, content)
            except ProofError:
                continue
        return None


def _now_ms() -> int:
    return round(dt.datetime.now(dt.UTC).timestamp() * 1_000)
