"""Compare Kafka's offsets, the ledger and the tables, and name every offset that is in none of them."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from trailhouse.broker.admin import KafkaAdmin, PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.operate.derived_rows import DerivedRows, compare_derived
from trailhouse.operate.ledger_coverage import LedgerCoverage
from trailhouse.operate.reconcile.deep import Deep, DeepComparison
from trailhouse.operate.reconcile.rowless_records import MAX_READ_RECORDS, spans, unaccounted
from trailhouse.operate.stored_offsets import expired, held, other_topics
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store.clickhouse import ClickHouse

Kind = Literal["missing", "unledgered", "expired", "ahead"]
"""``missing``: committed, and in no table. ``unledgered``: stored, but in no batch of the ledger.
``expired``: gone from Kafka before it was stored. ``ahead``: committed beyond the end of the log."""

ANSWER_SECONDS = 5.0
_MILLISECOND = dt.timedelta(milliseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A range of offsets of one partition that are not as they should be, and what to do about it."""

    partition: int
    first_offset: int
    last_offset: int
    kind: Kind
    why: str
    way_out: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: its log, what is committed, where the ledger ends, how many offsets were checked.

    `elsewhere` counts the checked offsets without a row of their own that are in order: their record
    is stored from another offset, or there is no record.
    """

    partition: int
    log_start: int
    log_end: int
    committed_offset: int | None
    ledger_end: int | None
    checked_offsets: int
    elsewhere: int


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison found; there is a gap to mend unless `gaps` is empty. `notes` are not gaps.

    `deep` is what a comparison of bytes found, where it was asked for; `derived` what the tables that follow
    from the log lack or have too much, empty where only a part of the log was asked for.
    """

    cluster: str
    topic: str
    topic_id: str
    group_id: str
    partitions: tuple[Checked, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    deep: Deep | None = None
    derived: tuple[DerivedRows, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nothing is to be mended."""
        is_whole = self.deep is None or not self.deep.contradictions
        return not self.gaps and is_whole and all(table.is_sound for table in self.derived)


def reconcile(
    kafka: KafkaConfig,
    storage: ClickHouse,
    group_id: str,
    *,
    since: dt.datetime | None = None,
    partitions: Collection[int] = (),
    is_deep: bool = False,
    report: Callable[[str], None] = lambda step: None,
) -> Reconciliation:
    """Compare everything that *group_id* has committed with what is stored; nothing is changed.

    1. Each offset that is committed and still in Kafka has a row, or its record is stored from another offset.
    2. Each offset that has a row is in a batch of the ledger.
    3. No record expired in Kafka before it was stored.
    4. Neither the group's offsets nor the ledger goes beyond the end of Kafka's log.
    5. No earlier topic of this name is in the ledger, whose records cannot be compared any more.
    6. The tables that follow from the log hold its rows and no others, unless *since* or *partitions* leave some out.
    7. With *is_deep*, each record's bytes are those of its row: what `deep` establishes.

    A worker may run meanwhile: the committed offsets are asked for first, and what is below them
    must be there. It costs ClickHouse a pass over the small columns of its tables, a microsecond an event,
    and Kafka the records of those offsets that have no row of their own.

    Args:
        since: Only records that Kafka took then or later, and what was noticed since; None for all.
        partitions: Only these; none for all.
        is_deep: Whether every record of Kafka is read, hashed, and held against ledger and rows. A row that
            claims a partition or a topic that there is not is named whatever *partitions* are.
        report: Told what is being done.

    Raises:
        BrokerError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
        OffsetsExpiredError, UnreadableBatchError: As `TopicReader.read`: records expired, or are damaged.
        QueryError: The topic has no such partition. Permanent.
    """
    origin = TopicIdentity(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    admin = KafkaAdmin(kafka)
    # Before the ledger and the tables: whatever is committed by now must be found by each later question.
    marks = admin.lag(group_id)
    wanted = _wanted(marks, partitions)
    with TopicReader(kafka) as reader:
        comparison = _Comparison(
            storage, origin, wanted, reader, since, report, lambda: admin.lag(group_id)
        )
        found = comparison.result(group_id)
        if since is None and not partitions:
            found = msgspec.structs.replace(found, derived=compare_derived(storage, report))  # 6
        if not is_deep:
            return found
        deep = DeepComparison(storage, origin, reader, report)  # 7
        ends = {mark.partition: mark.end_offset for mark in marks}
        others = ends.keys() - {mark.partition for mark in wanted}
        deep.find_impossible_rows(ends, lambda: list(admin.lag(group_id)), others)
        result = deep.result(comparison.checked, comparison.missing)
        return msgspec.structs.replace(found, deep=result)


def _wanted(marks: Sequence[PartitionLag], partitions: Collection[int]) -> Sequence[PartitionLag]:
    if unknown := set(partitions) - {mark.partition for mark in marks}:
        raise QueryError(
            f"partition: the topic has {len(marks)}, numbered from 0; there is no {min(unknown)}"
        )
    return [mark for mark in marks if not partitions or mark.partition in partitions]


class _Comparison:
    """One comparison, in steps; each fills in what the next one needs."""

    def __init__(
        self,
        storage: ClickHouse,
        origin: Origin,
        marks: Sequence[PartitionLag],
        reader: TopicReader,
        since: dt.datetime | None,
        report: Callable[[str], None],
        ask_again: Callable[[], Sequence[PartitionLag]],
    ) -> None:
        self._storage = storage
        self._origin = origin
        self._ask_again = ask_again
        self._marks = marks
        self._reader = reader
        self._since = since
        self._report = report
        self._gaps: list[Gap] = []
        self._notes: list[str] = []
        self.checked: dict[int, Range] = {}
        self.missing: dict[int, Ranges] = {}

    def result(self, group_id: str) -> Reconciliation:
        """Do the steps and return what was found."""
        self._report("reading the ledger")
        read = Ledger(self._storage, self._origin).stretches
        ledger = {mark.partition: read(mark.partition) for mark in self._marks}
        checked = self.checked = self._checked()
        self._report("counting the stored offsets")
        present = held(self._storage, self._origin, checked)
        absent = {number: Ranges([within]) - present[number] for number, within in checked.items()}
        missing = self.missing = self._missing(absent, ledger)  # 1
        for number, within in checked.items():
            self._note_unledgered(number, present[number] & Ranges([within]), ledger[number])  # 2
        self._note_expired(ledger)  # 3
        for mark in self._marks:
            self._note_positions(mark, ledger[mark.partition])  # 4
        self._note_other_topics()  # 5
        if all(mark.committed_offset is None for mark in self._marks):
            self._notes.append(
                f"the group {group_id} has committed nothing, so nothing was compared"
            )
        return Reconciliation(
            **self._origin._asdict(),
            group_id=group_id,
            partitions=tuple(
                _checked_partition(
                    mark,
                    ledger[mark.partition],
                    checked.get(mark.partition),
                    absent.get(mark.partition, Ranges()) - missing.get(mark.partition, Ranges()),
                )
                for mark in self._marks
            ),
            gaps=tuple(sorted(self._gaps, key=lambda gap: (gap.partition, gap.first_offset))),
            notes=tuple(self._notes),
        )

    def _checked(self) -> dict[int, Range]:
        """Return what is committed and still in Kafka, from `since` on."""
        begins = {mark.partition: mark.first_offset for mark in self._marks}
        if self._since is not None:
            ends = {mark.partition: mark.end_offset for mark in self._marks}
            # Rounded up: Kafka's milliseconds are whole, and an earlier one is not wanted.
            moment_ms = -(-(self._since - _EPOCH) // _MILLISECOND)
            begins = {
                number: max(begins[number], offset)
                for number, offset in self._reader.offsets_at(moment_ms, ends).items()
            }
        ranges = {
            mark.partition: Range(
                begins[mark.partition], min(mark.committed_offset or 0, mark.end_offset) - 1
            )
            for mark in self._marks
        }
        return {number: found for number, found in ranges.items() if found.size > 0}

    def _missing(
        self, absent: Mapping[int, Ranges], ledger: Mapping[int, Ranges]
    ) -> dict[int, Ranges]:
        """Read what has no row of its own, and name what is stored nowhere."""
        missing: dict[int, Ranges] = {}
        left_records = MAX_READ_RECORDS
        for number, ranges in absent.items():
            if not ranges:
                continue
            size = spans(ranges).size
            self._report(
                f"partition {number}: reading {size} records to find {ranges.size} without a row"
            )
            # To read a whole topic record by record is what `--deep` is for.
            if size > left_records:
                missing[number] = ranges
                self._notes.append(
                    f"partition {number}: {ranges.size} offsets have no row, too many to be read one by one;"
                    " some may be stored from another offset"
                )
            else:
                left_records -= size
                missing[number] = unaccounted(self._storage, self._reader, number, ranges)
            self._name_missing(number, missing[number], ledger[number])
        return missing

    def _name_missing(self, number: int, missing: Ranges, ledger: Ranges) -> None:
        for ranges, why in (
            (missing & ledger, "the ledger counts it, but it is neither stored nor quarantined"),
            (missing - ledger, "committed, but in no batch, neither stored nor quarantined"),
        ):
            for part in ranges:
                self._add(number, part, "missing", why, _replay(number, part))

    def _note_unledgered(self, number: int, present: Ranges, ledger: Ranges) -> None:
        for part in present - ledger:
            why = "stored, but in no batch of the ledger"
            self._add(number, part, "unledgered", why, _replay(number, part))

    def _note_expired(self, ledger: Mapping[int, Ranges]) -> None:
        noticed = expired(self._storage, self._origin, self._since)
        for mark in self._marks:
            number = mark.partition
            covered = LedgerCoverage(mark, ledger[number])
            for part in covered.lost(noticed.get(number, ())) | self._forgotten(covered):
                why = "Kafka's retention ended before it was stored"
                way_out = "nothing brings it back but a producer's own copy: raise TRAILHOUSE_KAFKA_RETENTION_HOURS"
                self._add(number, part, "expired", why, way_out)

    def _forgotten(self, covered: LedgerCoverage) -> Ranges:
        """Return what lies between two batches, in no table, and in Kafka no more; undated."""
        skipped = Ranges() if self._since is not None else covered.skipped
        for part in skipped:
            found = held(self._storage, self._origin, {covered.mark.partition: part})
            skipped -= found[covered.mark.partition]
        return skipped

    def _note_positions(self, mark: PartitionLag, ledger: Ranges) -> None:
        committed, end = mark.committed_offset, mark.end_offset
        if committed is not None and committed > end:
            way_out = "the topic was made anew or cut off: start the worker, which notices it and reads from the start"
            why = f"{committed} is committed, but the log ends at {end}"
            self._add(mark.partition, Range(end, committed - 1), "ahead", why, way_out)
        if ledger.last is not None and ledger.last >= end:
            # The ledger was read after the log's end: what a worker has stored meanwhile is no loss.
            end = self._ask_again()[mark.partition].end_offset
        if ledger.last is not None and ledger.last >= end:
            self._notes.append(
                f"partition {mark.partition}: the ledger goes to offset {ledger.last}, but the log ends at {end}:"
                " Kafka has lost records that are stored here"
            )

    def _note_other_topics(self) -> None:
        for other in other_topics(self._storage, self._origin):
            self._notes.append(
                f"an earlier topic of this name, id {other.topic_id}, is in the ledger with {other.batches} batches"
                f" up to {other.last_written_at:%Y-%m-%dT%H:%M:%SZ}: it is gone from Kafka and cannot be compared"
            )

    def _add(self, number: int, part: Range, kind: Kind, why: str, way_out: str) -> None:
        self._gaps.append(
            Gap(
                partition=number,
                first_offset=part.first,
                last_offset=part.last,
                kind=kind,
                why=why,
                way_out=way_out,
            )
        )


def _checked_partition(
    mark: PartitionLag, ledger: Ranges, within: Range | None, elsewhere: Ranges
) -> Checked:
    return Checked(
        partition=mark.partition,
        log_start=mark.first_offset,
        log_end=mark.end_offset,
        committed_offset=mark.committed_offset,
        ledger_end=None if ledger.last is None else ledger.last + 1,
        checked_offsets=0 if within is None else within.size,
        elsewhere=elsewhere.size,
    )


def _replay(number: int, part: Range) -> str:
    return f"trailhouse replay --from {number}:{part.first} --to {number}:{part.last}"
