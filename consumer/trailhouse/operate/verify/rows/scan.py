"""Go through the rows of the log and of quarantine once, for all duties that look at rows."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.place_sums import (
    PartitionKey,
    PlaceSums,
    entry_hashes,
    take_all,
)
from trailhouse.operate.verify.leaves.walk import LeafWalk
from trailhouse.operate.verify.rows.processes import RowReaders
from trailhouse.operate.verify.rows.quarantine_stream import Quarantined, quarantined_rows
from trailhouse.operate.verify.rows.quick_sums import Condition, QuickSums
from trailhouse.operate.verify.rows.stream import Rows, Wanted
from trailhouse.operate.verify.rows.unseen import firsts_of, unseen
from trailhouse.operate.verify.scope import Scope
from trailhouse.store.clickhouse import ClickHouse

MAX_DOUBTED = 10_000
MAX_PARTS = 100_000
HELD_AT_ONCE = 1_000
_NO_LEAF = PlaceSums(b"", 0, 0, 1)
"""Of a partition without a leaf: its rows are looked for by themselves."""
_REPLAY = "delete the row as docs/guarantees.md says, then replay its offset while Kafka has it"


class Coordinate(NamedTuple):
    """One row of a part of the log: where it says it stood."""

    place: PartitionKey
    offset: int
    appended_ms: int
    digest: bytes


class RowScan:
    """What was seen of the rows: how many, which columns are wrong, which records are in the wrong table.

    Args:
        clickhouse: Is asked.
        scope: Which rows.
        leaves: Its sums lose each row that is seen.
        readers: Read the rows.
        is_part: Whether the rows are not all that have leaves: then `coordinates` are kept, and no sums are made.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        scope: Scope,
        leaves: LeafWalk,
        readers: RowReaders,
        *,
        is_part: bool,
    ) -> None:
        self._readers = readers
        self._clickhouse = clickhouse
        self._scope = scope
        self._leaves = leaves
        self._is_part = is_part
        self._is_later = False
        self._quick: QuickSums | None = None
        self._cut_off: list[Quarantined] = []
        """Records of which nothing, or a part, is kept, and no order of before they were read says so."""
        self._held: list[tuple[PartitionKey, int, int, bytes, int]] = []
        self.is_quick = False
        """Whether ClickHouse hashes; then no column is looked at."""
        self.erased: Mapping[bytes, bytes] = {}
        """The SHA-256 of each record that is ordered to be erased, by the key that its row keeps."""
        self.erased_by_now: Callable[[Sequence[bytes]], Collection[bytes]] = lambda digests: ()
        """Tells which of some are: those of an order that came after rows began to be read, too."""
        self.columns = Findings("columns")
        self.verdicts = Findings("verdicts")
        self.doubted: list[Quarantined] = []
        """Records in quarantine that are events: right where the same bytes are an event of the log."""
        self.ranges: dict[PartitionKey, list[tuple[int, int]]] = {}
        """Offsets for which a row of quarantine stands that says that nobody can read them."""
        self.rows = 0
        self.quarantined = 0
        self.cut = 0
        self.parts: list[Quarantined] = []
        """Records of which a part alone is kept."""
        self.before: dict[PartitionKey, int] = {}
        """Rows older than the first leaf of their partition."""
        self.coordinates: list[Coordinate] = []

    def go(self) -> "RowScan":
        """Look at all of them.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        firsts = firsts_of(self._leaves.walked())
        new, self._is_later = unseen(firsts), any(firsts.values())
        condition = f"{self._scope.condition} AND {new.condition}"
        parameters = {**self._scope.parameters, **new.parameters}
        wanted = Wanted(
            condition, parameters, has_columns=not self.is_quick, is_quick=self.is_quick
        )
        if self.is_quick and not self._is_part:
            wanted = self._taken_by_clickhouse(Condition(condition, parameters))
        count = (
            sum(each.leaves for each in self._leaves.walked().values()) if wanted.has_columns else 0
        )
        for rows in self._readers.rows_of(self._clickhouse, wanted, count):
            self._take(rows)
        if not self._is_part:
            for each in quarantined_rows(self._clickhouse, condition, parameters):
                self._take_quarantined(each)
            self._take_held()
            erased = self.erased_by_now([row.digest for row in self._cut_off])
            for each in self._cut_off:
                if each.digest not in erased:
                    self._note_false_hash(each)
        return self

    def _taken_by_clickhouse(self, which: Condition) -> Wanted:
        """Let ClickHouse compare rows and leaves; return which rows are left, whose record was taken out."""
        self._quick = sums = QuickSums(self._clickhouse, self._leaves.sums, self._leaves.secret)
        sums.add_leaves(*(self._leaves.times_ms or (0, 2**64 - 1)))
        seen = sums.take_rows(which)
        if not self._is_later:
            self.before |= seen.before
        for place, offset in seen.wrong_keys:
            self._note_wrong(place, offset, ("record_key",))
        rows = self._clickhouse.query(
            f"SELECT count() FROM event_log WHERE record != '' AND {which.sql}",  # noqa: S608 - names of ours; every value is a bound parameter
            which.parameters,
        ).rows
        self.rows += int(rows[0][0])
        return Wanted(f"record = '' AND {which.sql}", which.parameters, has_columns=False)

    def _take(self, rows: Rows) -> None:
        self.rows += len(rows.offsets)
        for row in rows.not_events:
            self._note_no_event(rows, row)
        for row, names in rows.wrong.items():
            self._note_wrong(rows.places[rows.which[row]], rows.offsets[row], names)
        for row in rows.blank:
            if (digest := self.erased.get(rows.record_keys[row])) is not None:
                rows.digests[row] = digest
        if self._is_part:
            self.coordinates += [
                Coordinate(rows.places[which], offset, appended_ms, digest)
                for which, offset, appended_ms, digest in zip(
                    rows.which, rows.offsets, rows.appended_ms, rows.digests, strict=True
                )
            ]
            return
        self._take_away(rows.places, rows.which, rows.offsets, rows.appended_ms, rows.digests)

    def _take_away(
        self,
        places: Sequence[PartitionKey],
        which: Sequence[int],
        offsets: Sequence[int],
        appended_ms: Sequence[int],
        digests: Sequence[bytes],
        kinds: Sequence[int] = (),
    ) -> None:
        sums = [self._leaves.sums.get(place) or _NO_LEAF for place in places]
        if self._quick is None:
            hashes: Iterable[int] = entry_hashes(
                self._leaves.secret, offsets, appended_ms, digests, kinds or repeat(1)
            )
        else:  # the other side was hashed by ClickHouse
            hashes = self._quick.hashes(offsets, appended_ms, digests, kinds or [1] * len(offsets))
        for number, offset in take_all(sums, which, offsets, hashes):
            self._note_outside(places[number], sums[number], offset)

    def _note_outside(self, place: PartitionKey, sums: PlaceSums, offset: int) -> None:
        if offset < sums.first and not self._is_later:
            self.before[place] = self.before.get(place, 0) + 1

    def _take_quarantined(self, row: Quarantined) -> None:
        self.quarantined += 1
        log = _name(row.place)
        # Of one that is ordered to be erased the bytes are gone, and its hash is what is left.
        is_erased = not row.is_whole and self.erased.get(row.digest[:16]) == row.digest
        if not row.has_true_hash and not is_erased:
            if row.is_whole or len(self._cut_off) >= MAX_DOUBTED:
                self._note_false_hash(row)
            else:
                self._cut_off.append(row)
        if row.last_offset < row.offset:
            self.columns.add(
                "columns",
                log=log,
                first_offset=row.offset,
                table="event_quarantine",
                meaning="last_offset is below the record's own",
                way_out=_REPLAY,
            )
        if row.is_range:
            if len(self.ranges) < MAX_DOUBTED:
                self.ranges.setdefault(row.place, []).append((row.offset, row.last_offset))
            return
        if row.part_sha256 and len(self.parts) < MAX_PARTS:
            self.parts.append(row)
        self.cut += not row.is_whole
        if row.is_event and len(self.doubted) < MAX_DOUBTED:
            self.doubted.append(row)
        self._held.append((row.place, row.offset, row.appended_ms, row.digest, int(row.kind)))
        if len(self._held) >= HELD_AT_ONCE:
            self._take_held()

    def _note_false_hash(self, row: Quarantined) -> None:
        self.columns.add(
            "columns",
            log=_name(row.place),
            first_offset=row.offset,
            table="event_quarantine",
            meaning="the record contradicts record_hash",
            way_out=_REPLAY,
        )

    def _take_held(self) -> None:
        """Take the rows of quarantine away that were held until they are some: ClickHouse is not asked for each."""
        held, self._held = self._held, []
        if held:
            places, offsets, appended_ms, digests, kinds = zip(*held, strict=True)
            self._take_away(places, range(len(held)), offsets, appended_ms, digests, kinds)

    def _note_no_event(self, rows: Rows, row: int) -> None:
        self.verdicts.add(
            "no_event",
            log=_name(rows.places[rows.which[row]]),
            first_offset=rows.offsets[row],
            table="event_log",
            meaning="the record of a stored event is none: it belongs into quarantine",
            way_out=_REPLAY,
        )

    def _note_wrong(self, place: PartitionKey, offset: int, names: Sequence[str]) -> None:
        self.columns.add(
            "columns",
            log=_name(place),
            first_offset=offset,
            table="event_log",
            meaning=f"the record contradicts {', '.join(names)}: readers see what nobody has logged",
            way_out=_REPLAY,
        )


def _name(place: PartitionKey) -> str:
    _, topic, topic_id, partition = place
    return f"{topic}/{topic_id}/{partition}"
