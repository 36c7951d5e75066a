"""Which missing events Kafka's retention has taken: those of the time whose offsets expired."""

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec

from trailhouse.broker.admin import PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.operate.account.absent import Absent
from trailhouse.operate.ledger_coverage import LedgerCoverage
from trailhouse.operate.stored_offsets import expired
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequences import Neighbour

_EARLIEST = dt.datetime.min.replace(tzinfo=dt.UTC)
_LATEST = dt.datetime.max.replace(tzinfo=dt.UTC)


class Window(msgspec.Struct, kw_only=True):
    """Offsets that expired: how many, and between which stored records' times Kafka took them."""

    records: int
    begins_at: dt.datetime
    ends_at: dt.datetime


def expired_windows(
    storage: ClickHouse,
    origin: Origin,
    marks: Iterable[PartitionLag],
    since: dt.datetime | None,
) -> list[Window]:
    """Return what expired before it was stored, whether the worker has noticed it or not.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    noticed, ledger = expired(storage, origin, since), Ledger(storage, origin)
    windows: list[Window] = []
    for mark in marks:
        covered = LedgerCoverage(mark, ledger.stretches(mark.partition))
        lost = covered.lost(noticed.get(mark.partition, ()))
        windows += [_window(storage, origin, mark.partition, part) for part in lost]
    return windows


def explained(
    absent: Sequence[tuple[Absent, Neighbour | None, Neighbour | None]], windows: Sequence[Window]
) -> list[Absent]:
    """Mark what may have expired: its neighbours' times meet a window's, and the window has room.

    No more events are marked than offsets expired; of numbers in one hole, the first ones.
    """
    named: list[Absent] = []
    for each, before, behind in absent:
        begins_at = before.appended_at if before else _EARLIEST
        ends_at = behind.appended_at if behind else _LATEST
        for window in windows:
            if window.begins_at <= ends_at and begins_at <= window.ends_at and window.records:
                taken = min(window.records, each.events)
                window.records -= taken
                last = each.first_seq + taken - 1
                named.append(msgspec.structs.replace(each, last_seq=last, is_expired=True))
                # What the window has no room for may belong to the next one, or is missing.
                each = msgspec.structs.replace(each, first_seq=last + 1)
                if not each.events:
                    break
        if each.events:
            named.append(each)
    return named


def _window(storage: ClickHouse, origin: Origin, partition: int, lost: Range) -> Window:
    rows = storage.query(
        """
        SELECT maxIf(appended_at, kafka_offset < {first:UInt64}), countIf(kafka_offset < {first:UInt64}),
            minIf(appended_at, kafka_offset > {last:UInt64}), countIf(kafka_offset > {last:UInt64})
        FROM event_log
        WHERE kafka_cluster = {cluster:String} AND kafka_topic_id = {topic_id:String} AND kafka_topic = {topic:String}
            AND kafka_partition = {partition:UInt16}
        """,
        origin._asdict() | {"partition": partition, "first": lost.first, "last": lost.last},
    ).rows
    begins_at, before, ends_at, behind = rows[0]
    return Window(
        records=lost.size,
        begins_at=begins_at if before else _EARLIEST,
        ends_at=ends_at if behind else _LATEST,
    )
