"""Hash Kafka's records again, and hold the ledger and every row against them, byte by byte.

What is established of each partition, from the first record that is compared to the last one committed:

1. Every batch of the ledger that lies in it hashes and counts as Kafka's records do.
2. Every row of `event_log` that claims an offset has the record that Kafka holds there, its hash, the
   broker's time, and in each other column what the worker's own code derives from that record.
3. Every row that claims an offset claims one at which Kafka holds a record; in quarantine likewise.
4. Every record of Kafka's is in `event_log`, at its own offset or, where it was sent twice, at another
   that is vouched for; or byte for byte in quarantine. A row of another record does not count.
5. No row claims a partition, an offset beyond the log, or a topic that nobody has read.

What has expired in Kafka cannot be compared with it: `reconcile --hashes` holds it against itself.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from trailhouse.broker.admin import PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.broker.placeholder import Received, whole, whole_last
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.span import coordinates_of
from trailhouse.operate.reconcile.claimed_rows import (
    Claim,
    quarantined_at,
    rows_at,
    rows_beyond,
    rows_of,
    unknown_topics,
)
from trailhouse.operate.reconcile.derived_columns import (
    DERIVED_COLUMNS,
    Contradiction,
    Found,
    Kind,
    derived,
    differences,
    mend,
)
from trailhouse.operate.reconcile.ledger_hashes import BatchCheck, Falsified
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.schemas.record_hash import RECORD_KEY_BYTES
from trailhouse.store.clickhouse import ClickHouse

WINDOW_RECORDS = 20_000
WINDOW_BYTES = 33_554_432
REPORT_SECONDS = 1.0
_SESSION, _EVENT = DERIVED_COLUMNS.index("session_id"), DERIVED_COLUMNS.index("event_id")


class Deep(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and what contradicts Kafka; `named` are the first of `contradictions`.

    Attributes:
        records: Records of Kafka that were hashed.
        rows: Different rows that were held against them.
        batches: Batches of the ledger that were hashed again.
        unchecked_batches: Batches that begin or end where nothing was read.
        contradictions: How many were found.
        named: Those that are named one by one.
    """

    records: int
    rows: int
    batches: int
    unchecked_batches: int
    contradictions: int
    named: tuple[Contradiction, ...]


class _Held(NamedTuple):
    """A record as Kafka holds it: its offset and time, its hash, the columns that follow from it.

    Or a batch that cannot be read: `records` of them, without columns.
    """

    offset: int
    records: int
    appended_ms: int
    digest: bytes
    columns: tuple[Any, ...] | None


class DeepComparison:
    """One comparison of bytes; each partition by itself, in stretches that fit into memory."""

    def __init__(
        self,
        storage: ClickHouse,
        origin: Origin,
        reader: TopicReader,
        report: Callable[[str], None],
    ) -> None:
        self._storage = storage
        self._origin = origin
        self._reader = reader
        self._report = report
        self._found = Found()
        self._vouched: dict[tuple[Origin, int], Ranges] = {}
        self._checked: Mapping[int, Range] = {}
        self._told_at_seconds = 0.0
        self._records = self._rows = self._batches = self._unchecked = 0

    def result(self, checked: Mapping[int, Range], missing: Mapping[int, Ranges]) -> Deep:
        """Compare the offsets in *checked*; of those in *missing* it is known that they have no row.

        Raises:
            BrokerError: Kafka is away (retriable) or refuses (permanent).
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
            OffsetsExpiredError, UnreadableBatchError: As `TopicReader.read`: records expired, or are damaged.
        """
        self._checked = checked
        for partition, within in checked.items():
            self._compare(partition, within, missing.get(partition, Ranges()))
        return Deep(
            records=self._records,
            rows=self._rows,
            batches=self._batches,
            unchecked_batches=self._unchecked,
            contradictions=self._found.count,
            named=tuple(self._found.named),
        )

    def find_impossible_rows(
        self,
        before: Mapping[int, int],
        ask_marks: Callable[[], list[PartitionLag]],
        others: Collection[int] = (),
    ) -> None:
        """Name rows that claim what cannot be, before `result` is called.

        Args:
            before: Where each partition ended when the comparison began.
            ask_marks: Returns where they end now: a worker may have stored more meanwhile.
            others: Partitions that there are, and that are not looked at.
        """
        self._report("looking for rows that claim what Kafka never had")
        beyond = rows_beyond(self._storage, self._origin, before)  # 5
        # Asked again only where there is a suspicion: a worker may have stored what came since.
        ends = {mark.partition: mark.end_offset for mark in ask_marks()} if beyond else {}
        for row in beyond:
            if row.partition not in others and row.offset >= ends.get(row.partition, 0):
                why = "a row claims an offset that Kafka's log never reached"
                self._add("planted", row.partition, row.offset, row.session_id, row.event_id, why)
        for other in unknown_topics(self._storage):
            why = f"rows ({other.rows}) claim a topic that is in no batch of the ledger, id {other.topic_id}"
            self._add(
                "planted", other.partition, other.offset, other.session_id, other.event_id, why
            )

    def _compare(self, partition: int, within: Range, missing: Ranges) -> None:
        batches = BatchCheck(self._storage, self._origin, partition, within)
        window: list[Received] = []
        size_bytes, first = 0, within.first
        for records in self._reader.read({partition: within}):
            window += records
            size_bytes += sum(len(record.value() or b"") for record in records)
            # By bytes as well: 20,000 records may be 20 MB or 20 GB.
            if len(window) >= WINDOW_RECORDS or size_bytes >= WINDOW_BYTES:
                stretch = Range(first, min(whole_last(window[-1]), within.last))
                self._look(partition, stretch, _held(window), batches, missing)
                window, size_bytes, first = [], 0, stretch.last + 1
                done = first - within.first
                self._tell(f"partition {partition}: {done} of {within.size} offsets compared")
        if first <= within.last:
            self._look(partition, Range(first, within.last), _held(window), batches, missing)
        batches.end()
        self._batches += batches.checked
        self._unchecked += batches.unchecked

    def _tell(self, step: str) -> None:
        """Report a step, once a second at most."""
        if time.monotonic() - self._told_at_seconds >= REPORT_SECONDS:
            self._told_at_seconds = time.monotonic()
            self._report(step)

    def _look(
        self,
        partition: int,
        stretch: Range,
        held: list[_Held],
        batches: BatchCheck,
        missing: Ranges,
    ) -> None:
        self._records += sum(each.records for each in held)
        digested = [(each.offset, each.digest, each.records) for each in held]
        for batch in batches.take(stretch, digested):  # 1
            self._add_batch(partition, batch)
        claims = rows_at(self._storage, self._origin, partition, stretch)
        quarantined = quarantined_at(self._storage, self._origin, partition, stretch)
        self._rows += sum(map(len, claims.values()))
        homeless: list[_Held] = []
        for each in held:
            rows = claims.pop(each.offset, [])
            # All of them, merged or not: one honest row must not hide a false one beside it.
            is_there = [self._judge(row, each) for row in rows]  # 2
            digests = quarantined.pop(each.offset, set())
            if digests - {each.digest}:
                why = "a row in quarantine holds another record than Kafka"
                self._add("planted", partition, each.offset, "", "", why)  # 3
            if not any(is_there) and each.digest not in digests and each.offset not in missing:
                homeless.append(each)
        for offset, rows in claims.items():  # 3
            for row in rows:
                why = "a row claims an offset at which Kafka holds no record"
                self._add("planted", partition, offset, row.session_id, row.event_id, why)
        for offset in quarantined:
            why = "a row in quarantine claims an offset at which Kafka holds no record"
            self._add("planted", partition, offset, "", "", why)
        self._find_elsewhere(partition, homeless)  # 4

    def _add_batch(self, partition: int, batch: Falsified) -> None:
        first, last = batch.row.first_offset, batch.row.last_offset
        self._found.add(
            Contradiction(
                kind="ledger", partition=partition, first_offset=first, last_offset=last,
                why=f"a batch of the ledger: {batch.why}",
                way_out="delete that row of batch_ledger as docs/guarantees.md says, then"
                f" trailhouse replay --from {partition}:{first} --to {partition}:{last}",
            )
        )  # fmt: skip

    def _judge(self, row: Claim, held: _Held) -> bool:
        """Tell whether a row is what it must be; if not, it is named."""
        of = (row.partition, row.offset, row.session_id, row.event_id)
        if not row.is_whole:
            self._add("altered", *of, "its record contradicts its hash")
        # Whole in itself and still another one: somebody has put it there with a hash that fits.
        elif row.record_key != held.digest[:RECORD_KEY_BYTES]:
            self._add("planted", *of, "its record is not the one that Kafka holds at its offset")
        elif held.columns is not None and (names := _forged(row, held)):
            self._add("forged", *of, f"Kafka's record contradicts {', '.join(names)}", names)
        else:
            return True
        return False

    def _find_elsewhere(self, partition: int, homeless: list[_Held]) -> None:
        """Look by key for what has no row of its own: a record that was sent twice is stored once."""
        events = {
            (each.columns[_SESSION], each.columns[_EVENT]) for each in homeless if each.columns
        }
        at_home = {
            row.record_key
            for row in rows_of(self._storage, list(events))
            # A row that nobody vouches for may have been planted to hide that the real one is gone.
            if row.is_whole and self._is_vouched(row)
        }
        for each in homeless:
            if each.digest[:RECORD_KEY_BYTES] not in at_home:
                session, event = (
                    (each.columns[_SESSION], each.columns[_EVENT]) if each.columns else ("", "")
                )
                why = "Kafka's record is in no table, whatever stands at its offset"
                self._add("absent", partition, each.offset, session, event, why)

    def _is_vouched(self, row: Claim) -> bool:
        """Tell whether a row's place was compared here, or is in a batch of the ledger."""
        within = self._checked.get(row.partition)
        if row.origin == self._origin and within and within.first <= row.offset <= within.last:
            return True
        place = (row.origin, row.partition)
        if place not in self._vouched:
            self._vouched[place] = Ledger(self._storage, row.origin).stretches(row.partition)
        return row.offset in self._vouched[place]

    def _add(
        self,
        kind: Kind,
        partition: int,
        offset: int,
        session_id: str,
        event_id: str,
        why: str,
        columns: tuple[str, ...] = (),
    ) -> None:
        self._found.add(
            Contradiction(
                kind=kind,
                partition=partition,
                first_offset=offset,
                last_offset=offset,
                session_id=session_id,
                event_id=event_id,
                columns=columns,
                why=why,
                way_out=mend(partition, offset, is_row=kind != "absent"),
            )
        )


def _forged(row: Claim, held: _Held) -> tuple[str, ...]:
    names = differences(row.columns, held.columns or ())
    return (*names, "appended_at") if row.appended_ms != held.appended_ms else names


def _held(records: list[Received]) -> list[_Held]:
    values = [record.value() or b"" for record in records]
    held: list[_Held] = []
    for record, value, columns in zip(records, values, derived(values), strict=True):
        _, offset, appended_ms = coordinates_of(record)
        of = whole(record)
        is_kept = of.size_bytes == len(value)  # else it is in quarantine, whatever it holds
        held.append(_Held(offset, of.records, appended_ms, of.digest, columns if is_kept else None))
    return held
