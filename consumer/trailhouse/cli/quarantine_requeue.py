"""Choose the records to requeue, send them some at a time, and say what became of each."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from trailhouse.consumer.kafka_origin import KafkaOrigin
from trailhouse.consumer.replay_plan import Place
from trailhouse.consumer.requeue import Requeuer
from trailhouse.query.quarantine import Quarantine, Quarantined
from trailhouse.schemas.config import ClickHouseConfig, KafkaConfig
from trailhouse.store import ClickHouse
from trailhouse.store.migrate import check_with

RECORDS_AT_A_TIME = 50
ANSWER_SECONDS = 5.0
Echo = Callable[[str], None]


class Outcome(msgspec.Struct, kw_only=True):
    """How many records were sent, how many were not, and how many of those Kafka refused."""

    sent: int = 0
    kept: int = 0
    refused: int = 0


def requeue_records(
    places: Sequence[Place],
    *,
    since: dt.datetime | None,
    topic_id: str | None,
    is_dry_run: bool,
    is_forced: bool,
    echo: Echo,
) -> Outcome:
    """Requeue the records at *places*, or all when there are none; *echo* is told a line a record.

    Raises:
        QueryError: One of *places* is not in quarantine. Permanent; nothing was sent.
        BrokerError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    kafka = KafkaConfig()
    outcome = Outcome()
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        quarantine = Quarantine(storage, kafka.topic)
        chosen = [quarantine.locate(*place, topic_id) for place in places]
        if not places:
            found = quarantine.find(since=since)
            chosen = [each for each in found if topic_id in {None, each.topic_id}]
        wanted = _wanted(quarantine.fetch(chosen), outcome, is_forced, not places, echo)
        if is_dry_run:
            for record in wanted:
                outcome.sent += 1
                echo(f"{_name(record)} would be sent")
            return outcome
        KafkaOrigin(kafka, timeout_seconds=ANSWER_SECONDS).origin(
            kafka
        )  # says at once that Kafka is away, or has no topic
        requeuer = Requeuer(kafka)
        while part := list(islice(wanted, RECORDS_AT_A_TIME)):
            _send(requeuer, part, outcome, echo)
    return outcome


def _send(requeuer: Requeuer, records: Sequence[Quarantined], outcome: Outcome, echo: Echo) -> None:
    originals = [
        (record, f"{record.at.topic_id}:{record.at.partition}:{record.at.offset}")
        for record in records
    ]
    for record, sent in zip(records, requeuer.send(originals), strict=True):
        if sent.refusal is None:
            outcome.sent += 1
            echo(f"{_name(record)} sent to {sent.partition}:{sent.offset}")
        else:
            outcome.kept += 1
            outcome.refused += 1
            echo(f"{_name(record)} not sent: Kafka refuses it ({sent.refusal})")


def _wanted(
    records: Iterable[Quarantined], outcome: Outcome, is_forced: bool, is_once: bool, echo: Echo
) -> Iterator[Quarantined]:
    """Yield those to send; with *is_once* the same key and bytes once."""
    seen: set[bytes] = set()
    for record in records:
        reason = None if is_forced and record.is_whole else _objection(record)
        if is_once and reason is None:
            content = hashlib.sha256(repr((record.key, record.record)).encode()).digest()
            reason = "the same bytes were sent already" if content in seen else None
            seen.add(content)
        if reason is None:
            yield record
        else:
            outcome.kept += 1
            echo(f"{_name(record)} not sent: {reason}")


def _objection(record: Quarantined) -> str | None:
    if not record.is_whole:
        return "only a part of it is kept"
    if record.refusal is not None:
        return f"it would come back: {record.refusal}"
    return "it is stored already" if record.is_stored else None


def _name(record: Quarantined) -> str:
    return f"{record.at.partition}:{record.at.offset}"
