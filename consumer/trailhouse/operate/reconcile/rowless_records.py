"""Look at records without a row of their own, and tell those stored from another offset from those nowhere."""

from collections.abc import Sequence

from trailhouse.broker.placeholder import Received
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer.batch.batch import Batch, Limits, event_record_keys
from trailhouse.operate.known_records import stored_record_keys
from trailhouse.schemas.ranges import Ranges
from trailhouse.store.clickhouse import ClickHouse

MAX_READ_RECORDS = 1_000_000
READ_ON_RECORDS = 5_000
_NO_LIMIT = Limits(rows=2**31, size_bytes=2**40)


def unaccounted(storage: ClickHouse, reader: TopicReader, partition: int, ranges: Ranges) -> Ranges:
    """Return those offsets in *ranges* whose record exists and is not visible to readers.

    A record that was sent twice is stored once, and its second offset has no row in the end; a
    transaction's marker is an offset without a record. Both are in order.

    Raises:
        BrokerError, StorageError: As for `reconcile`.
    """
    missing: list[int] = []
    for part in spans(ranges):
        for records in reader.read({partition: part}):
            wanted = [record for record in records if record.offset() in ranges]
            missing += _invisible(storage, wanted)
    return Ranges.of(missing)


def spans(ranges: Ranges) -> Ranges:
    """Return what is read to look at *ranges*: to read on is quicker than to begin anew."""
    return ranges.coalesced(READ_ON_RECORDS)


def _invisible(storage: ClickHouse, records: Sequence[Received]) -> list[int]:
    batch = Batch(_NO_LIMIT, lambda: 0.0)
    batch.add(records)
    visible = stored_record_keys(storage, batch.events)
    missing = [bad.received.offset() for bad in batch.bad]
    missing += [
        event.offset()
        for key, event in zip(event_record_keys(batch.events), batch.events, strict=True)
        if key not in visible
    ]
    return missing
