"""The rows of `event_log` as they are stored, held against their own records a block at a time.

A block's records are decoded and made into columns by the worker's own code. Each of these is compared as the bytes
that ClickHouse would send of it, so that a column that is right is never taken apart; only where it is not, or a record
is no event, each row is looked at.
"""

import gc
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from trailhouse.consumer.batch.rows import EVENT_COLUMNS, Coordinates, envelope_of, event_columns
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.stream import numbers
from trailhouse.operate.verify.rows.texts import Texts
from trailhouse.schemas.codec import decode_all, parts_of
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.record import Envelope
from trailhouse.schemas.record_hash import record_hashes
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.native_format import column_of
from trailhouse.store.native_read import NativeReader
from trailhouse.store.tables import EVENT_LOG

BLOCK_ROWS = 8_192
_PLACE = ("kafka_cluster", "kafka_topic", "kafka_topic_id")
_NOT_DERIVED = {"record", "record_key", "kafka_partition", "kafka_offset", "appended_at"}
DERIVED_COLUMNS = tuple(name for name in EVENT_COLUMNS if name not in _NOT_DERIVED)
"""The columns that follow from a record's bytes; `record_key` is compared with their hash."""
_IS_TEXT_WITH_DICTIONARY = {
    name: EVENT_LOG.columns[name].startswith("LowCardinality") for name in DERIVED_COLUMNS
}
_SETTINGS = {
    "max_block_size": str(BLOCK_ROWS),
    "preferred_block_size_bytes": "16777216",
    "max_threads": "2",
}


class Rows(NamedTuple):
    """A block of rows, each with the hash of its record, and what contradicts what.

    `wrong` holds for each row, by its number in the block, the columns that its record contradicts. `not_events` are
    the numbers of rows whose record is no event, and `blank` of those whose record was taken out.
    """

    places: Sequence[PartitionKey]
    which: Sequence[int]
    """For each row, its place among `places`."""
    offsets: Sequence[int]
    appended_ms: Sequence[int]
    digests: list[bytes]
    record_keys: Sequence[bytes]
    wrong: Mapping[int, tuple[str, ...]]
    not_events: Sequence[int]
    blank: Sequence[int]


class Wanted(NamedTuple):
    """Which rows, and what is done with them."""

    condition: str
    parameters: Mapping[str, Any]
    has_columns: bool = True
    """Whether columns are held against records."""
    is_quick: bool = False
    """Whether ClickHouse hashes the records, which stay there; without columns alone."""


def rows_of(clickhouse: ClickHouse, wanted: Wanted) -> Iterator[Rows]:
    """Yield the rows that are *wanted*, copies and all, in no order.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    reader = NativeReader(
        clickhouse.stream(
            _sql(wanted), dict(wanted.parameters), format="Native", settings=_SETTINGS
        )
    )
    while (header := reader.block()) is not None:
        if header.row_count:
            with _uncollected():
                rows = _block(reader, header.row_count, wanted)
            yield rows


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep Python from looking for circles: a block's values hold none, and the search takes a seventh of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _sql(wanted: Wanted) -> str:
    columns = [
        "toUInt64(length(record)) AS record_bytes",
        "SHA256(record) AS digest" if wanted.is_quick else "record",
        "record_key",
        *_PLACE,
        "kafka_partition",
        "kafka_offset",
        "toUInt64(toUnixTimestamp64Milli(appended_at)) AS appended_ms",
        *(DERIVED_COLUMNS if wanted.has_columns else ()),
    ]
    return f"SELECT {', '.join(columns)} FROM event_log WHERE {wanted.condition}"  # noqa: S608 - names of ours


def _block(reader: NativeReader, rows: int, wanted: Wanted) -> Rows:
    lengths = numbers(reader.column("record_bytes", 8 * rows))
    records: list[bytes] = []
    if wanted.is_quick:
        digests = list(reader.values("digest", rows))
    else:
        reader.expect("record")
        records = reader.sized_strings(lengths)
        digests = record_hashes(records)
    keys = reader.values("record_key", rows)
    parts = [reader.low_cardinality(name, rows) for name in _PLACE]
    partitions = reader.values("kafka_partition", rows)
    places, which = _places(parts, partitions)
    offsets = numbers(reader.column("kafka_offset", 8 * rows))
    appended_ms = numbers(reader.column("appended_ms", 8 * rows))
    blank = [place for place, length in enumerate(lengths) if not length] if 0 in lengths else []
    wrong: dict[int, tuple[str, ...]] = {}
    not_events: list[int] = []
    if wanted.has_columns:
        expected = _Expected(records, set(blank))
        not_events = expected.not_events
        wrong = _compared(reader, expected, rows)
    _compare_keys(keys, digests, wrong, set(blank))
    return Rows(places, which, offsets, appended_ms, digests, keys, wrong, not_events, blank)


def _places(
    parts: Sequence[tuple[list[bytes], Sequence[int]]], partitions: Sequence[int]
) -> tuple[list[PartitionKey], list[int]]:
    columns = [places for _, places in parts]
    texts = [[key.decode(errors="replace") for key in keys] for keys, _ in parts]
    if all(places.count(places[0]) == len(places) for places in columns):
        # One topic, as nearly always: only the partitions differ.
        cluster, topic, topic_id = (
            text[place[0]] for text, place in zip(texts, columns, strict=True)
        )
        known = {partition: number for number, partition in enumerate(set(partitions))}
        return (
            [(cluster, topic, topic_id, partition) for partition in known],
            list(map(known.__getitem__, partitions)),
        )
    numbers: dict[tuple[int, ...], int] = {}
    which = [
        numbers.setdefault(each, len(numbers)) for each in zip(*columns, partitions, strict=True)
    ]
    places = [
        (texts[0][cluster], texts[1][topic], texts[2][topic_id], partition)
        for cluster, topic, topic_id, partition in numbers
    ]
    return places, which


_DERIVED_PLACES = tuple(EVENT_COLUMNS.index(name) for name in DERIVED_COLUMNS)


class _Expected:
    """What the columns of a block must be, by its records alone: encoded as they come, while they are in the cache."""

    def __init__(self, records: Sequence[bytes], blank: set[int]) -> None:
        self.not_events: list[int] = []
        self.rows: list[int] = []
        """The numbers of the rows that are events, where not all are."""
        self._records = records
        self._blank = blank
        self.texts = {name: Texts() for name, is_one in _IS_TEXT_WITH_DICTIONARY.items() if is_one}
        self._encoded = {
            name: column_of(EVENT_LOG.columns[name])
            for name, is_text in _IS_TEXT_WITH_DICTIONARY.items()
            if not is_text
        }
        for part in parts_of(records):
            envelopes = self._envelopes(part)
            if not envelopes:
                continue
            for name, values in zip(DERIVED_COLUMNS, _derived(envelopes), strict=True):
                if name in self.texts:
                    self.texts[name].add(values)
                else:
                    column = self._encoded[name]
                    column.add(column.encoded(values))

    def encoded(self, name: str) -> bytes:
        """Return the bytes of one column, which is no text with a dictionary."""
        return b"".join(self._encoded[name].pieces())

    def values(self, name: str) -> Iterator[Any]:
        """Yield the values of one column, which are derived once more: nearly no block needs them."""
        place = DERIVED_COLUMNS.index(name)
        return chain.from_iterable(columns[place] for columns in self._derived_again)

    @cached_property
    def _derived_again(self) -> list[list[Sequence[Any]]]:
        events = [self._records[row] for row in self.rows]
        return [_derived(list(map(envelope_of, events[part]))) for part in parts_of(events)]

    def _envelopes(self, part: slice) -> list[Envelope]:
        some = list(self._records[part])
        envelopes = decode_all(some)
        if envelopes is not None:
            self.rows.extend(range(part.start, part.start + len(some)))
            return envelopes
        found = []
        for row, record in enumerate(some, part.start):
            if row in self._blank:
                continue
            try:
                found.append(envelope_of(record))
            except InvalidEventError:
                self.not_events.append(row)
            else:
                self.rows.append(row)
        return found


def _derived(envelopes: Sequence[Envelope]) -> list[Sequence[Any]]:
    nothing = [b""] * len(envelopes)
    nowhere = [0] * len(envelopes)
    columns = event_columns(envelopes, nothing, nothing, Coordinates(nowhere, nowhere, nowhere))
    return [columns[place] for place in _DERIVED_PLACES]


def _compared(reader: NativeReader, expected: _Expected, rows: int) -> dict[int, tuple[str, ...]]:
    wrong: dict[int, tuple[str, ...]] = {}
    is_whole = len(expected.rows) == rows
    for name in DERIVED_COLUMNS:
        if (texts := expected.texts.get(name)) is not None:
            keys, places = reader.low_cardinality(name, rows)
            if is_whole and texts.are(keys, places):
                continue
            found: Sequence[Any] = [keys[place] for place in places]
        else:
            reader.expect(name)
            if is_whole and reader.starts_with(expected.encoded(name)):
                continue
            found = reader.values_of(EVENT_LOG.columns[name], rows)
        _note_wrong(name, found, expected.values(name), expected.rows, wrong)
    return wrong


def _note_wrong(
    name: str,
    found: Sequence[Any],
    values: Iterator[Any],
    rows: Sequence[int],
    wrong: dict[int, tuple[str, ...]],
) -> None:
    for row, value in zip(rows, values, strict=True):
        if not _is_same(found[row], value):
            wrong[row] = (*wrong.get(row, ()), name)


def _is_same(found: Any, value: Any) -> bool:
    if isinstance(found, bytes) and isinstance(value, str):
        return found == value.encode(errors="surrogatepass")
    if isinstance(found, str) and isinstance(value, str):  # a UUID, in either case
        return found == value.lower()
    return bool(found == value)


def _compare_keys(
    keys: Sequence[bytes],
    digests: Sequence[bytes],
    wrong: dict[int, tuple[str, ...]],
    blank: set[int],
) -> None:
    if keys == [digest[:16] for digest in digests]:
        return
    for row, (key, digest) in enumerate(zip(keys, digests, strict=True)):
        if key != digest[:16] and row not in blank:
            wrong[row] = ("record_key", *wrong.get(row, ()))
