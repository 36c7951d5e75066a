"""Pass over offsets at which a partition stands still, by an operator's decision; it is written down who and why."""

import datetime as dt
import time

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from trailhouse.broker.admin import KafkaAdmin, PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.broker.placeholder import Placeholder
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.batch import Batch, Limits
from trailhouse.consumer.batch.blocks import incident_block
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.batch.writer import BatchWriter
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.operate.stored_offsets import held
from trailhouse.schemas.errors import QueryError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store.clickhouse import ClickHouse

ANSWER_SECONDS = 5.0
_NO_LIMIT = Limits(rows=2**31, size_bytes=2**40)


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """What was passed over; `is_moved` says that the group's offset was, since no worker runs."""

    partition: int
    first_offset: int
    last_offset: int
    is_moved: bool


def skip(
    kafka: KafkaConfig,
    storage: ClickHouse,
    group_id: str,
    partition: int,
    offsets: Range,
    *,
    who: str,
    reason: str,
    is_dry_run: bool = False,
) -> Skipped:
    """Write an incident, a row of quarantine and one of the ledger, and have the group go on after *offsets*.

    A worker that cannot read on there finds it in the ledger and goes on by itself.

    Raises:
        QueryError: The group does not stand at the first of them, or some are stored. Permanent;
            nothing was changed.
        BrokerError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent); skip again.
    """
    origin = TopicIdentity(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    ledger = Ledger(storage, origin)
    _check(KafkaAdmin(kafka).lag(group_id), ledger, storage, origin, partition, offsets)
    if not is_dry_run:
        now = dt.datetime.now(dt.UTC)
        found = Incident("skipped", partition, offsets.first, offsets.last)
        why = f"passed over by {who}: {reason}"
        # The incident first: nothing is passed over of which it is not known who wanted it.
        ledger.note(incident_block(origin, [found], [why], now))
        batch = Batch(_NO_LIMIT, time.monotonic)
        batch.add_placeholder(
            Placeholder(
                number=partition,
                first_offset=offsets.first,
                last_offset=offsets.last,
                records=offsets.size,
                appended_ms=round(now.timestamp() * 1_000),
                size_bytes=0,
                digest=record_hash(b""),  # nobody has seen it
                kept=None,
                kept_key=None,
                reason=why,
            )
        )
        BatchWriter(storage, origin, lambda: now).write(batch)
    is_moved = not is_dry_run and _move(kafka, group_id, partition, offsets.last + 1)
    return Skipped(
        partition=partition, first_offset=offsets.first, last_offset=offsets.last, is_moved=is_moved
    )


def _check(
    marks: tuple[PartitionLag, ...],
    ledger: Ledger,
    storage: ClickHouse,
    origin: Origin,
    partition: int,
    offsets: Range,
) -> None:
    mark = next((each for each in marks if each.partition == partition), None)
    if mark is None:
        raise QueryError(f"partition: the topic has no partition {partition}")
    # Elsewhere nobody stands still: to skip there would lose records that can be read.
    if offsets.first != mark.next_offset:
        raise QueryError(
            f"offset: the group stands at {partition}:{mark.next_offset}, and only what it stands at is passed over"
        )
    if not offsets.first <= offsets.last < mark.end_offset:
        raise QueryError(f"offset: the range must end before {mark.end_offset}, the log's end")
    present = held(storage, origin, {partition: offsets})[partition]
    if present or ledger.covered({partition: (offsets.first, offsets.last)})[partition]:
        raise QueryError(
            f"offset: some of {partition}:{offsets.first}-{offsets.last} are stored already"
        )


def _move(kafka: KafkaConfig, group_id: str, partition: int, offset: int) -> bool:
    """Commit for a group without members; False where there are some."""
    # Without joining: a member would start a rebalance under the workers.
    consumer = Consumer(kafka.client_options() | {"group.id": group_id, "log_level": 0})
    try:
        answers = consumer.commit(
            offsets=[TopicPartition(kafka.topic, partition, offset)], asynchronous=False
        )
        # A group with members refuses this; the worker then finds the ledger, and goes on by itself.
        return all(part.error is None for part in answers)
    except KafkaException:
        return False
    finally:
        consumer.close()
