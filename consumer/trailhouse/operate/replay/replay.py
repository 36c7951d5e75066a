"""Read a range of the topic again and store it, as the worker does: harmless however often."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer.batch.batch import Batch, Limits, event_record_keys
from trailhouse.consumer.batch.erasure_orders import ErasureOrders
from trailhouse.consumer.batch.replayed_leaves import ReplayedLeaves
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.proof_log.stored_log import StoredLog
from trailhouse.operate.known_records import quarantined_places, stored_record_keys
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse

PATIENCE_SECONDS = 60.0
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 5.0
_T = TypeVar("_T")


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay has read and written so far.

    Attributes:
        records: Records read.
        events: Those that are events; stored.
        quarantined: Those that are none; in quarantine.
        new_events: Events that ClickHouse did not have before, from whichever offset.
        new_quarantined: Records that were not in quarantine before.
        unproven: Records at whose offsets the partition's log has none, or another: stored, and not in the log.
    """

    records: int = 0
    events: int = 0
    quarantined: int = 0
    new_events: int = 0
    new_quarantined: int = 0
    unproven: int = 0


class Replay:
    """Writes ranges of the topic into ClickHouse: rows, quarantine and ledger, batch by batch.

    A worker may run meanwhile, and a range may be replayed again: readers see each record once, and
    every copy keeps its place in Kafka. Nothing is committed, and no consumer group takes notice.
    """

    def __init__(
        self,
        storage: ClickHouse,
        origin: Origin,
        worker: WorkerConfig,
        *,
        report: Callable[[Replayed], None] = lambda so_far: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._storage = storage
        self._origin = origin
        self._writer = BatchWriter(
            storage,
            origin,
            lambda: dt.datetime.now(dt.UTC),
            ErasureOrders(storage, ProofConfig(), reload_seconds=0.0).among,
        )
        self._leaves = ReplayedLeaves(StoredLog(storage, origin))
        self._limits = Limits.of(worker)
        self._report = report
        self._patience_seconds = patience_seconds
        self.so_far = Replayed()

    def run(self, reader: TopicReader, ranges: Mapping[int, Range]) -> Replayed:
        """Read *ranges* and store every record in them; return what was done.

        Delivery:
            On return every record is stored or quarantined, and in the ledger. When it raises,
            `so_far` is; replay again.

        Raises:
            BrokerError: Kafka is away (retriable) or refuses (permanent).
            StorageError: ClickHouse has been away for too long (retriable) or refuses (permanent).
            OffsetsExpiredError, UnreadableBatchError: As `TopicReader.read`: records expired, or are damaged.
        """
        batch = Batch(self._limits, time.monotonic)
        for records in reader.read(ranges):
            batch.add(records)
            if batch.is_full:
                self._store(batch)
                batch = Batch(self._limits, time.monotonic)
        if len(batch):
            self._store(batch)
        return self.so_far

    def _store(self, batch: Batch) -> None:
        # Before the write: afterwards all of them are there.
        known = self._until_in(lambda: stored_record_keys(self._storage, batch.events))
        known_bad = self._until_in(
            lambda: quarantined_places(self._storage, self._origin, batch.bad)
        )
        stored = self._until_in(lambda: self._writer.store(batch))
        # As workers do: whatever the ledger has is in the log.
        unproven = self._until_in(lambda: self._leaves.write([batch]))
        self._until_in(lambda: self._writer.enter([batch], [stored]))
        new = len(set(event_record_keys(batch.events)) - known)
        done = self.so_far
        self.so_far = Replayed(
            records=done.records + len(batch),
            events=done.events + stored.stored_rows,
            quarantined=done.quarantined + stored.quarantined_rows,
            new_events=done.new_events + new,
            new_quarantined=done.new_quarantined + len(batch.bad) - len(known_bad),
            unproven=done.unproven + unproven,
        )
        self._report(self.so_far)

    def _until_in(self, attempt: Callable[[], _T]) -> _T:
        """Repeat *attempt* while ClickHouse is away: to write the same batch again is harmless."""
        deadline = time.monotonic() + self._patience_seconds
        backoff = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        while True:
            try:
                return attempt()
            except StorageUnavailableError:
                if time.monotonic() + backoff.seconds > deadline:
                    raise
            threading.Event().wait(backoff.next_seconds())
