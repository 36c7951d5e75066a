"""Choose the records in quarantine that go into the topic again, send them, and say what became of each."""

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from trailhouse.broker.requeuer import Requeuer
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.query.quarantine import Coordinates, Quarantine, Quarantined
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouse

RECORDS_AT_A_TIME = 50
ANSWER_SECONDS = 5.0
ERASED = "an operator has ordered it to be erased"


class Requeued(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record.

    Attributes:
        at: Where it stood.
        sent_to: Its new partition and offset; None when it was not sent.
        objection: Why we did not send it; None when nothing spoke against it.
        refusal: Kafka's name of the reason why it did not take it.
    """

    at: Coordinates
    sent_to: tuple[int, int] | None = None
    objection: str | None = None
    refusal: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it is not in the topic again, nor would be."""
        return self.objection is not None or self.refusal is not None


def requeue(
    kafka: KafkaConfig,
    storage: ClickHouse,
    places: Sequence[tuple[int, int]],
    *,
    since: dt.datetime | None = None,
    topic_id: str | None = None,
    is_dry_run: bool = False,
    is_forced: bool = False,
    erased: Collection[bytes] = frozenset(),
) -> Iterator[Requeued]:
    """Requeue the records at *places*, each a partition and an offset, or all when there are none.

    Yields an outcome a record, in order, as the work goes on; a dry run sends nothing.

    Args:
        kafka: The topic.
        storage: The database, whose migration was checked.
        places: The records; without any, each key and bytes are sent once.
        since: Only what Kafka took then or later, when there are no *places*.
        topic_id: Only of this topic, where several of the name were used.
        is_dry_run: Say what would be sent.
        is_forced: Also what does not decode today, or is stored already.
        erased: The SHA-256 of records that are ordered to be erased (`store.erasures`): never sent, by force neither.

    Raises:
        QueryError: One of *places* is not in quarantine. Permanent; nothing was sent.
        BrokerError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    quarantine = Quarantine(storage, kafka.topic)
    chosen = [quarantine.locate(*place, topic_id) for place in places]
    if not places:
        found = quarantine.find(since=since)
        chosen = [each for each in found if topic_id in {None, each.topic_id}]
    # A generator: records are fetched as they are sent, and never all in memory.
    judged = _judged(
        quarantine.fetch(chosen), is_forced=is_forced, is_once=not places, erased=erased
    )
    if is_dry_run:
        for record, objection in judged:
            yield Requeued(at=record.at, objection=objection)
        return
    # Says at once that Kafka is away, or has no topic.
    TopicIdentity(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    requeuer = Requeuer(kafka)
    while part := list(islice(judged, RECORDS_AT_A_TIME)):
        yield from _sent(requeuer, part)


def _sent(
    requeuer: Requeuer, judged: Sequence[tuple[Quarantined, str | None]]
) -> Iterator[Requeued]:
    """Send what nothing speaks against, and yield the outcome of each."""
    wanted = [record for record, objection in judged if objection is None]
    outcomes = iter(
        requeuer.send(
            [(each, f"{each.at.topic_id}:{each.at.partition}:{each.at.offset}") for each in wanted]
        )
    )
    for record, objection in judged:
        if objection is not None:
            yield Requeued(at=record.at, objection=objection)
            continue
        sent = next(outcomes)
        sent_to = (sent.partition, sent.offset) if sent.refusal is None else None
        yield Requeued(at=record.at, sent_to=sent_to, refusal=sent.refusal)


def _judged(
    records: Iterable[Quarantined],
    *,
    is_forced: bool,
    is_once: bool,
    erased: Collection[bytes],
) -> Iterator[tuple[Quarantined, str | None]]:
    """Yield each record with what speaks against sending it; with *is_once* the same key and bytes once."""
    seen: set[bytes] = set()
    for record in records:
        objection = None if is_forced and record.is_whole else _objection(record)
        if record.is_whole and record_hash(record.record or b"") in erased:
            objection = ERASED
        if is_once and objection is None:
            # A producer that repeats itself may have filled the quarantine with one record.
            content = hashlib.sha256(repr((record.key, record.record)).encode()).digest()
            objection = "the same bytes were sent already" if content in seen else None
            seen.add(content)
        yield record, objection


def _objection(record: Quarantined) -> str | None:
    # Not even by force: what would be sent is another record than the one that was refused.
    if not record.is_whole:
        return "only a part of it is kept"
    if record.refusal is not None:
        return f"it would come back: {record.refusal}"
    return "it is stored already" if record.is_stored else None
