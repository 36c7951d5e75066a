"""Match rows with leaves: what each of two duties, 4 and 5, has found of it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.stream import leaves_of
from trailhouse.operate.verify.leaves.walk import LeafWalk
from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.rows.deep import (
    Entry,
    Stretch,
    blank_in_log,
    firsts_in_log,
    merge_order,
    stretches,
)
from trailhouse.operate.verify.rows.rows_above import (
    Known,
    Noted,
    RowsAbove,
    Signs,
    may_be_first,
    may_be_left,
    quiet_from_ms,
)
from trailhouse.operate.verify.rows.scan import Coordinate, RowScan
from trailhouse.operate.verify.scope import Scope
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.clickhouse import ClickHouse

MAX_READ_AGAIN = 20_000_000
"""So many offsets are read once more to tell which rows are wrong; beyond them, ranges are told as a whole."""
LOOKS, PAUSE_SECONDS = 6, 0.5
"""Rows are stored before their leaves: one whose leaf is on its way is looked at again."""
_OF_TOPIC = "kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}"
_LAST_LEAF = f"""
    SELECT count(), max(kafka_offset) + 1, argMax(appended_ms, kafka_offset)
    FROM log_leaves WHERE {OF_LOG}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_NEXT = f"""
    SELECT min(at_ms), uniqExact(kafka_offset) FROM (
        SELECT toUnixTimestamp64Milli(appended_at) AS at_ms, kafka_offset FROM event_log
        WHERE {OF_LOG} AND kafka_offset BETWEEN {{end:UInt64}} AND {{last:UInt64}}
        UNION ALL
        SELECT toUnixTimestamp64Milli(appended_at) AS at_ms, kafka_offset FROM event_quarantine
        WHERE {OF_LOG} AND kafka_offset BETWEEN {{end:UInt64}} AND {{last:UInt64}}
    )
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SIGNS = f"""
    SELECT
        (SELECT max(appended_ms) FROM log_leaves WHERE {_OF_TOPIC} AND appended_ms <= now_ms),
        (SELECT toUnixTimestamp64Milli(max(written_at)) FROM batch_ledger WHERE {_OF_TOPIC}),
        (SELECT toUnixTimestamp64Milli(max(written_at)) FROM batch_ledger WHERE {OF_LOG}),
        toUnixTimestamp64Milli(now64(3)) AS now_ms
"""  # noqa: S608 - as above
_NOTED = f"""
    SELECT count() > 0, toUnixTimestamp64Milli(maxIf(asked_at, {{mine}})), argMaxIf(end_offset, asked_at, {{mine}})
    FROM partition_ends WHERE {_OF_TOPIC}
""".replace("{mine}", "kafka_partition = {partition:UInt16}")  # noqa: S608 - as above
_CAME = f"""
    SELECT toUnixTimestamp64Milli(min(written_at)) FROM batch_ledger
    WHERE {_OF_TOPIC} AND toUnixTimestamp64Milli(written_at) > {{after_ms:Int64}}
"""  # noqa: S608 - as above
_KNOWN = f"""
    SELECT
        (SELECT count() FROM partition_ends WHERE {_OF_TOPIC} AND kafka_partition >= {{partition:UInt16}})
        + (SELECT count() FROM log_leaves WHERE {_OF_TOPIC} AND kafka_partition > {{partition:UInt16}}) > 0,
        (SELECT count() FROM log_leaves) + (SELECT count() FROM log_checkpoints)
        + (SELECT count() FROM batch_ledger) + (SELECT count() FROM log_anchors) > 0
"""  # noqa: S608 - as above
_REPLAY = "delete the row as docs/guarantees.md says, then replay its offset while Kafka has it"
_RESTORE = "replay these offsets while Kafka has them, or restore them from a backup"

_Rows = tuple[str, PartitionKey]
"""Those of a partition in a table."""
Erased = Callable[[Sequence[bytes]], set[bytes]]
"""Which of some digests an operator has ordered to be erased."""


class Matching:
    """What is wrong between rows and leaves; `match` works it out."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        leaves: LeafWalk,
        scan: RowScan,
        erased: Erased,
        tell: Callable[[str], None],
    ) -> None:
        self._clickhouse = clickhouse
        self._leaves = leaves
        self._scan = scan
        self._erased = erased
        self._tell = tell
        self.records = Findings("records")
        self.rows = Findings("rows")
        self.unproven: list[str] = []
        """Rows above every leaf that may be those of a worker that was killed: they could not be checked."""

    def match(self) -> "Matching":
        """Find the leaves without a row, and the rows without a leaf.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        left = MAX_READ_AGAIN
        for place, sums in self._leaves.sums.items():
            differing = sums.ranges()
            if not differing:
                continue
            logs = self._generations(place)
            self._tell(f"reading {differing.size} offsets of {_name(place)} once more")
            if differing.size > left:
                self._tell_unread(place, differing)
                continue
            left -= differing.size
            for stretch in stretches(self._clickhouse, place, logs, differing):
                self._tell_rows(stretch)
                self._tell_leaves(stretch)
        return self

    def match_part(self, coordinates: Sequence[Coordinate]) -> None:
        """Find the rows of a part of the log that have no leaf.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        ordered = sorted(set(coordinates))
        for place, mine in groupby(ordered, key=lambda each: each.place):
            logs = self._generations(place)
            rows = list(mine)
            for begin in range(0, len(rows), 1_000):
                self._match_some(place, logs, rows[begin : begin + 1_000])

    def _match_some(
        self, place: PartitionKey, logs: Sequence[LogId], rows: Sequence[Coordinate]
    ) -> None:
        leaves: dict[int, set[Entry]] = {}
        near = Ranges.of(row.offset for row in rows).coalesced(1_024)
        for log in logs:
            for part in near:
                for block in leaves_of(self._clickhouse, log, part.first, part.last + 1):
                    for offset, kind, appended_ms, digest in zip(
                        block.offsets, block.kinds, block.appended_ms, block.digests, strict=True
                    ):
                        leaves.setdefault(offset, set()).add(Entry(appended_ms, digest, kind))
        entries: dict[int, set[Entry]] = {}
        for row in rows:
            entries.setdefault(row.offset, set()).add(Entry(row.appended_ms, row.digest, 1))
        self._tell_rows(Stretch(place, leaves, entries, {}))

    def _generations(self, place: PartitionKey) -> list[LogId]:
        return [log for log in self._leaves.walked() if log.place == place]

    def _tell_rows(self, stretch: Stretch) -> None:
        for offset, entry in sorted(stretch.without_leaf()):
            leaves = stretch.leaves.get(offset, set())
            if not leaves:
                kind, meaning = (
                    "row_without_leaf",
                    "a stored row stands at an offset without a leaf",
                )
            elif any(entry[1:] == leaf[1:] for leaf in leaves):
                kind, meaning = "other_time", "a stored row has another broker time than its leaf"
            elif any(entry.digest == leaf.digest for leaf in leaves):
                kind = "other_record"
                meaning = "a stored row is null where its leaf says that its record is empty, or the other way round"
            else:
                kind, meaning = "other_record", "a stored row holds other bytes than its leaf says"
            self.rows.add(
                kind,
                log=_name(stretch.place),
                first_offset=offset,
                meaning=f"{meaning}: it was added or changed after it was signed",
                way_out=_REPLAY,
            )
        for offset in sorted(stretch.blank_without_leaf()):
            self.rows.add(
                "row_without_leaf",
                log=_name(stretch.place),
                first_offset=offset,
                meaning="a row without its record stands where no leaf is about it: it was added or moved",
                way_out=_REPLAY,
            )

    def _tell_leaves(self, stretch: Stretch) -> None:
        missing = sorted(stretch.without_row())
        if not missing:
            return
        copies = firsts_in_log(self._clickhouse, [entry.digest for _, entry in missing])
        gone = [(offset, entry) for offset, entry in missing if entry.digest not in copies]
        for offset, entry in missing:
            first = copies.get(entry.digest)
            is_here = any(row.digest == entry.digest for row in stretch.rows.get(offset, ()))
            if first is not None and not is_here and merge_order(entry.appended_ms, offset) < first:
                self.records.add(
                    "first_copy_gone",
                    log=_name(stretch.place),
                    first_offset=offset,
                    meaning="of a record that came twice the later copy alone is left, and a merge keeps the first:"
                    " its row was taken away, and readers see another place and time",
                    way_out=_RESTORE,
                )
        ordered = self._erased([entry.digest for _, entry in gone]) if gone else set()
        blank_rows = blank_in_log(self._clickhouse, ordered)
        for offset, entry in gone:
            if entry.digest in blank_rows:
                continue
            is_blank = entry.digest[:16] in stretch.blank.get(offset, set())
            self.records.add(
                "blanked" if is_blank else "record_gone",
                log=_name(stretch.place),
                first_offset=offset,
                meaning="the record of a row was taken out, and no operator's order says so"
                if is_blank
                else "a record was stored and signed, and no table has it now",
                way_out=_RESTORE,
            )

    def _tell_unread(self, place: PartitionKey, differing: Ranges) -> None:
        for part in differing:
            for found, kind in ((self.records, "records_differ"), (self.rows, "rows_differ")):
                found.add(
                    kind,
                    log=_name(place),
                    first_offset=part.first,
                    last_offset=part.last,
                    meaning="rows and leaves of these offsets are not the same; too many differ to name each",
                    way_out=_RESTORE,
                )

    def tell_strangers(self, scope: Scope) -> None:
        """Find the rows of *scope* above every leaf, or of a partition without any, that no leaf follows in a moment.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        beyond: Mapping[_Rows, tuple[int, int, int]] = {}
        for look in range(LOOKS):
            if look:
                time.sleep(PAUSE_SECONDS)
            found = self._beyond(scope)
            # One that a leaf has reached meanwhile was on its way; what follows it is on its way in turn.
            beyond = (
                {
                    place: (first, last, rows)
                    for place, (first, last, rows) in found.items()
                    if place in beyond and first <= beyond[place][0]
                }
                if look
                else found
            )
            if not beyond:
                return
        for place in dict.fromkeys(place for _, place in beyond):
            self._tell_above(
                place, {table: found for (table, where), found in beyond.items() if where == place}
            )

    def _tell_above(self, place: PartitionKey, found: Mapping[str, tuple[int, int, int]]) -> None:
        """Tell of the rows of *place* that each table of *found* has above the last leaf."""
        first, last = (
            min(each[0] for each in found.values()),
            max(each[1] for each in found.values()),
        )
        values = {**LogId(*place, "").parameters, "last": last}
        leaves, end, last_ms = map(int, self._clickhouse.query(_LAST_LEAF, values).rows[0])
        if leaves and end > first:  # a worker has reached them since the last look
            return
        if self._may_be_left({**values, "end": end if leaves else first}, first, last_ms, leaves):
            self.unproven.append(
                f"{_name(place)}: {sum(each[2] for each in found.values())} rows from offset {first} to {last} have no"
                " leaf yet, as where a worker was killed before it wrote them: start one, it reads these offsets again;"
                " then verify again"
            )
            return
        for table, (lowest, highest, count) in found.items():
            self.rows.add(
                "row_without_leaf",
                log=_name(place),
                first_offset=lowest,
                last_offset=highest,
                table=table,
                count=count,
                meaning="rows stand above the last leaf of their partition, and do not follow on it: they were added",
                way_out="start a worker: it reads these offsets again; what Kafka does not have was added",
            )

    def _may_be_left(
        self, values: Mapping[str, Any], first: int, last_ms: int, leaves: int
    ) -> bool:
        """Tell whether rows from offset *first* on may be a killed worker's; the last of *leaves* came at *last_ms*."""
        ask = self._clickhouse.query
        first_ms, count = map(int, ask(_NEXT, values).rows[0])
        rows = RowsAbove(first_ms, first, values["last"] + 1 - values["end"] - count)
        signs = Signs(last_ms, *map(int, ask(_SIGNS, values).rows[0]))
        is_noted, at_ms, end_offset = map(int, ask(_NOTED, values).rows[0])
        noted = Noted(bool(is_noted), at_ms, end_offset)
        # Who came first after all was quiet has a minute.
        after_ms = {"after_ms": quiet_from_ms(rows, signs)}
        [(came_ms,)] = ask(_CAME, {**values, **after_ms}).rows
        if leaves:
            return may_be_left(rows, signs, noted, int(came_ms))
        known = Known(*map(bool, ask(_KNOWN, values).rows[0]))
        return may_be_first(rows, signs, noted, known, int(came_ms))

    def _beyond(self, scope: Scope) -> dict[_Rows, tuple[int, int, int]]:
        ends: dict[PartitionKey, int] = {}
        # A log without a leaf ends where its checkpoints say: `leaves` holds them to holes alone below that.
        for end, table in (
            ("max(size)", "log_checkpoints"),
            ("max(kafka_offset) + 1", "log_leaves"),
        ):
            for *place, until in self._clickhouse.query(
                f"SELECT {_PLACE}, {end} FROM {table} GROUP BY {_PLACE}"  # noqa: S608 - names of ours
            ).rows:
                ends[_place(place)] = int(until)
        found: dict[_Rows, tuple[int, int, int]] = {}
        for table, have_leaves in _TABLES.items():
            condition = f"{have_leaves} AND {scope.condition}"
            for *place, highest in self._clickhouse.query(
                f"SELECT {_PLACE}, max(kafka_offset) FROM {table} WHERE {condition} GROUP BY {_PLACE}",  # noqa: S608 - names of ours
                scope.parameters,
            ).rows:
                where = _place(place)
                if int(highest) >= (first := ends.get(where, 0)):
                    found[table, where] = self._rows_from(table, condition, scope, where, first)
        return {place: rows for place, rows in found.items() if rows[2]}

    def _rows_from(
        self, table: str, condition: str, scope: Scope, place: PartitionKey, first: int
    ) -> tuple[int, int, int]:
        rows = self._clickhouse.query(
            f"SELECT min(kafka_offset), max(kafka_offset), count() FROM {table}"  # noqa: S608 - names of ours
            f" WHERE {OF_LOG} AND kafka_offset >= {{first:UInt64}} AND {condition}",
            {**LogId(*place, "").parameters, **scope.parameters, "first": first},
        ).rows
        lowest, highest, count = map(int, rows[0])
        return lowest, highest, count


_TABLES = {
    "event_log": "true",
    "event_quarantine": "last_offset = kafka_offset AND NOT startsWith(reason, 'batch: ')",
}
"""Where records are stored, and which rows there have leaves: none that stands for what nobody can read."""
_PLACE = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"


def _place(columns: Iterable[Any]) -> PartitionKey:
    cluster, topic, topic_id, partition = columns
    return str(cluster), str(topic), str(topic_id), int(partition)


def _name(place: PartitionKey) -> str:
    _, topic, topic_id, partition = place
    return f"{topic}/{topic_id}/{partition}"
