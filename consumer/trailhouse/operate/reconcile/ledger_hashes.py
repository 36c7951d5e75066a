"""Hash Kafka's records again, batch by batch, as the ledger says they were hashed when they were stored."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from trailhouse.broker.origin import Origin
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse

MAX_OPEN_BATCHES = 64
"""So many batches that hold one offset are honest, replays and rewinds included; more are not hashed."""

_OF_TOPIC = "kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}"


class LedgerRow(NamedTuple):
    """One batch of one partition, as the ledger has it."""

    first_offset: int
    last_offset: int
    records_hash: bytes
    records: int


class Falsified(NamedTuple):
    """A batch that Kafka's records contradict, and how."""

    row: LedgerRow
    why: str


class _Open:
    """A batch whose records are being hashed."""

    def __init__(self, row: LedgerRow) -> None:
        self.row = row
        self.hasher = sha256()
        self.records = 0


class BatchCheck:
    """The batches of one partition, given its records' hashes in offset order; bounded in memory.

    A batch that begins before the first record that Kafka still has, or ends after the last one that
    is read, cannot be hashed again: it is counted in `unchecked`.
    """

    def __init__(self, storage: ClickHouse, origin: Origin, partition: int, within: Range) -> None:
        self._storage = storage
        self._values = origin._asdict() | {"partition": partition}
        self._within = within
        self._open: list[_Open] = []
        self.checked = 0
        self.unchecked = self._beginning_below(within.first)

    def take(
        self, stretch: Range, digests: Sequence[tuple[int, bytes, int]]
    ) -> Iterator[Falsified]:
        """Yield what the records in *stretch* falsify; *digests* names each by its offset, and
        how many records it stands for.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        rows = self._beginning_in(stretch)
        place = 0
        for offset, digest, records in digests:
            while place < len(rows) and rows[place].first_offset <= offset:
                yield from self._begin(rows[place])
                place += 1
            yield from self._end_below(offset)
            for batch in self._open:
                batch.hasher.update(digest)
                batch.records += records
        for row in rows[place:]:
            yield from self._begin(row)
        yield from self._end_below(stretch.last + 1)

    def end(self) -> None:
        """Count the batches that go beyond what was read."""
        self.unchecked += len(self._open)
        self._open.clear()

    def _begin(self, row: LedgerRow) -> Iterator[Falsified]:
        # It ends beyond what is read, so that its hash can never be complete.
        if row.last_offset > self._within.last:
            self.unchecked += 1
        # So many rows over the same offsets are not an accident: a rebalance leaves a few.
        elif len(self._open) >= MAX_OPEN_BATCHES:
            why = f"more than {MAX_OPEN_BATCHES} batches hold the same offsets; this one was not hashed"
            yield Falsified(row, why)
        else:
            self._open.append(_Open(row))

    def _end_below(self, offset: int) -> Iterator[Falsified]:
        if all(batch.row.last_offset >= offset for batch in self._open):
            return
        for batch in self._open:
            if batch.row.last_offset < offset:
                self.checked += 1
                if batch.hasher.digest() != batch.row.records_hash:
                    yield Falsified(batch.row, "its hash is not that of Kafka's records")
                elif batch.records != batch.row.records:
                    why = f"it counts {batch.row.records} records, Kafka holds {batch.records}"
                    yield Falsified(batch.row, why)
        self._open = [batch for batch in self._open if batch.row.last_offset >= offset]

    def _beginning_below(self, offset: int) -> int:
        rows = self._storage.query(
            f"""
            SELECT uniqExact(first_offset, last_offset, records_hash) FROM batch_ledger
            WHERE {_OF_TOPIC} AND kafka_partition = {{partition:UInt16}}
                AND first_offset < {{offset:UInt64}} AND last_offset >= {{offset:UInt64}}
            """,  # noqa: S608 - names of ours; every value is a bound parameter
            self._values | {"offset": offset},
        ).rows
        return int(rows[0][0])

    def _beginning_in(self, stretch: Range) -> list[LedgerRow]:
        rows = self._storage.query(
            f"""
            SELECT DISTINCT first_offset, last_offset, records_hash, toUInt64(stored_rows) + quarantined_rows
            FROM batch_ledger
            WHERE {_OF_TOPIC} AND kafka_partition = {{partition:UInt16}}
                AND first_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
            ORDER BY first_offset, last_offset LIMIT {MAX_OPEN_BATCHES} BY first_offset
            """,  # noqa: S608 - as above
            self._values | {"first": stretch.first, "last": stretch.last},
        ).rows
        return [LedgerRow(*row) for row in rows]
