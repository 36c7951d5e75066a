"""Where rows and leaves are not the same: which rows have no leaf, and which leaves no row."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.stream import leaves_of
from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.rows.quarantine_stream import quarantined_rows
from trailhouse.operate.verify.rows.stream import Wanted, rows_of
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES
from trailhouse.store.clickhouse import ClickHouse

OFFSETS_AT_ONCE = 262_144
KEYS_AT_ONCE = 2_000
LATEST_VER_MS = 2**42 - 1
VER_OFFSETS = 2**22


class Entry(NamedTuple):
    """What a leaf, or a row, says of one offset."""

    appended_ms: int
    digest: bytes
    kind: int


class Stretch(NamedTuple):
    """Some offsets of one partition, with what its leaves say and what its rows do."""

    place: PartitionKey
    leaves: Mapping[int, set[Entry]]
    rows: Mapping[int, set[Entry]]
    blank: Mapping[int, set[bytes]]
    """The keys of the rows whose record was taken out."""

    def without_row(self) -> Iterator[tuple[int, Entry]]:
        """Yield the leaves that no row has."""
        for offset, entries in self.leaves.items():
            for entry in entries - self.rows.get(offset, set()):
                yield offset, entry

    def without_leaf(self) -> Iterator[tuple[int, Entry]]:
        """Yield the rows that no leaf has."""
        for offset, entries in self.rows.items():
            for entry in entries - self.leaves.get(offset, set()):
                yield offset, entry

    def blank_without_leaf(self) -> Iterator[int]:
        """Yield the offsets of rows whose record was taken out, and which no leaf there is about."""
        for offset, keys in self.blank.items():
            known = {entry.digest[:RECORD_KEY_BYTES] for entry in self.leaves.get(offset, ())}
            if keys - known:
                yield offset


def stretches(
    clickhouse: ClickHouse, place: PartitionKey, logs: Sequence[LogId], differing: Ranges
) -> Iterator[Stretch]:
    """Yield *differing* of one partition, whose generations are *logs*, some offsets at a time.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    for part in _parts(differing):
        leaves: dict[int, set[Entry]] = {}
        for log in logs:
            for block in leaves_of(clickhouse, log, part.first, part.last + 1):
                for offset, kind, appended_ms, digest in zip(
                    block.offsets, block.kinds, block.appended_ms, block.digests, strict=True
                ):
                    leaves.setdefault(offset, set()).add(Entry(appended_ms, digest, kind))
        rows, blank = _rows(clickhouse, logs[0], part)
        yield Stretch(place, leaves, rows, blank)


def _rows(
    clickhouse: ClickHouse, log: LogId, part: Range
) -> tuple[dict[int, set[Entry]], dict[int, set[bytes]]]:
    rows: dict[int, set[Entry]] = {}
    blanks: dict[int, set[bytes]] = {}
    condition = (
        f"{OF_LOG} AND kafka_offset BETWEEN {{first_offset:UInt64}} AND {{last_offset:UInt64}}"
    )
    parameters = {**log.parameters, "first_offset": part.first, "last_offset": part.last}
    for block in rows_of(clickhouse, Wanted(condition, parameters, has_columns=False)):
        taken_out = set(block.blank)
        for row, (offset, appended_ms, digest) in enumerate(
            zip(block.offsets, block.appended_ms, block.digests, strict=True)
        ):
            if row in taken_out:
                blanks.setdefault(offset, set()).add(block.record_keys[row])
            else:
                rows.setdefault(offset, set()).add(Entry(appended_ms, digest, 1))
    for each in quarantined_rows(clickhouse, condition, parameters):
        if not each.is_range:
            entry = Entry(each.appended_ms, each.digest, int(each.kind))
            rows.setdefault(each.offset, set()).add(entry)
    return rows, blanks


def _parts(differing: Ranges) -> Iterator[Range]:
    """Yield ranges of a bounded size; those that are near each other together."""
    for wide in differing.coalesced(OFFSETS_AT_ONCE // 8):
        for first in range(wide.first, wide.last + 1, OFFSETS_AT_ONCE):
            yield Range(first, min(first + OFFSETS_AT_ONCE - 1, wide.last))


def digests_in_log(clickhouse: ClickHouse, digests: Sequence[bytes]) -> set[bytes]:
    """Return those of *digests* that are the hash of a record in `event_log`, wherever it says that it stood.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    return set(firsts_in_log(clickhouse, digests))


def merge_order(appended_ms: int, offset: int) -> tuple[int, int]:
    """Return by what a merge keeps one of several copies of a record: the smallest stays (see `event_log.ver`)."""
    return min(appended_ms, LATEST_VER_MS), offset % VER_OFFSETS


def firsts_in_log(clickhouse: ClickHouse, digests: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """Return those of *digests* that are the hash of a record in `event_log`, each with its first row's `merge_order`.

    Of two copies of a record the later one is merged away, and its leaf stays.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: dict[bytes, tuple[int, int]] = {}
    different = list(dict.fromkeys(digests))
    for begin in range(0, len(different), KEYS_AT_ONCE):
        part = different[begin : begin + KEYS_AT_ONCE]
        keys = [digest[:16].hex() for digest in part]
        condition = (
            "record_key IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))"
        )
        for rows in rows_of(clickhouse, Wanted(condition, {"keys": keys}, has_columns=False)):
            for digest, *place in zip(rows.digests, rows.appended_ms, rows.offsets, strict=True):
                at = merge_order(*place)
                found[digest] = min(at, found.get(digest, at))
    wanted = set(different)
    return {digest: first for digest, first in found.items() if digest in wanted}


def blank_in_log(clickhouse: ClickHouse, digests: Collection[bytes]) -> set[bytes]:
    """Return those of *digests*, of erased records, of which the blank row is left, wherever it says that it stood.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found: set[str] = set()
    different = sorted({digest.hex() for digest in digests})
    for begin in range(0, len(different), KEYS_AT_ONCE):
        keys = {"hashes": different[begin : begin + KEYS_AT_ONCE]}
        found.update(key for (key,) in clickhouse.query(_BLANK, keys).rows)
    return {digest for digest in digests if digest.hex()[:32] in found}


_BLANK = """
    WITH arrayMap(each -> substring(each, 1, 32), {hashes:Array(String)}) AS keys
    SELECT DISTINCT lower(hex(record_key)) FROM event_log
    WHERE record = '' AND has(keys, lower(hex(record_key)))
    UNION DISTINCT
    SELECT DISTINCT substring(lower(hex(record_hash)), 1, 32) FROM event_quarantine
    WHERE record = '' AND lower(hex(record_hash)) IN {hashes:Array(String)}
"""
