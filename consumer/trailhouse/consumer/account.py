"""The balance sheet: every event that producers have numbered is somewhere, or it is named."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trailhouse.consumer.account_expired import expired_windows, explained
from trailhouse.consumer.account_look import Scope, Standing, look
from trailhouse.consumer.account_numbers import (
    MAX_STRETCHES,
    Neighbour,
    holes,
    neighbours,
    settled_ranges,
    unnumbered,
)
from trailhouse.consumer.kafka_admin import KafkaAdmin
from trailhouse.consumer.kafka_origin import KafkaOrigin
from trailhouse.consumer.ranges import Range
from trailhouse.consumer.replay_source import TopicReader
from trailhouse.schemas.config import KafkaConfig
from trailhouse.schemas.errors import QueryError
from trailhouse.store.clickhouse import ClickHouse

ANSWER_SECONDS = 5.0
LOOKS = 3
SETTLE_SECONDS = 1.0
LOOK_BACK_SECONDS = 3_600.0
SETTLED_AFTER_SECONDS = 120.0


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one producer that are nowhere, and what the events beside them tell.

    Attributes:
        producer_id: Who has numbered them.
        first_seq: The first of them.
        last_seq: The last of them.
        is_expired: Whether Kafka's retention ended before they were stored; else nobody knows.
        service: The producer's service; empty when no neighbour is stored.
        host: Its host; likewise.
        sessions: The sessions of the events before and behind.
    """

    producer_id: str
    first_seq: int
    last_seq: int
    is_expired: bool
    service: str
    host: str
    sessions: tuple[str, ...]

    @property
    def events(self) -> int:
        """How many they are."""
        return self.last_seq - self.first_seq + 1


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``emitted = spooled + in_kafka + stored + quarantined + expired + missing``, in events.

    Each event counts once, where it has come furthest. `unnumbered` events, emitted without a
    `source`, are stored and stand outside: nobody can say whether one of them is missing.
    """

    emitted: int
    spooled: int
    in_kafka: int
    stored: int
    quarantined: int
    expired: int
    missing: int
    unnumbered: int
    producers: int
    absent: tuple[Absent, ...]


def missing_events(
    storage: ClickHouse,
    *,
    since_seconds: float = LOOK_BACK_SECONDS,
    settle_seconds: float = SETTLED_AFTER_SECONDS,
) -> int:
    """Return how many of the producers' numbers ClickHouse misses among what Kafka took not long ago.

    A number counts when a higher one of the same producer is in since `settle_seconds`: that must be
    longer than a worker's delay, since another partition may be behind. Asks ClickHouse alone; its
    clock and Kafka's are taken to agree. Holes without number count as MAX_STRETCHES events.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    between = settled_ranges(storage, since_seconds=since_seconds, settle_seconds=settle_seconds)
    try:
        return sum(hole.size for _, hole in holes(storage, between))
    except QueryError:
        return MAX_STRETCHES


def account(
    kafka: KafkaConfig,
    storage: ClickHouse,
    group_id: str,
    *,
    spooled: Callable[[], Iterable[bytes]] = tuple,
    scope: Scope | None = None,
    report: Callable[[str], None] = lambda step: None,
    settle_seconds: float = SETTLE_SECONDS,
) -> Account:
    """Say where every numbered event is, and name those that are nowhere.

    What seems to be missing is looked for again, since an event may be between two places. A session
    shares its producers' numbers with others: a number counts as its own when it lies beside one.

    Args:
        kafka: The topic; what *group_id* has not committed is read.
        storage: ClickHouse.
        group_id: The workers' group.
        spooled: Returns the records in this machine's spools; called at each look.
        scope: A session or a time; None for everything.
        report: Told what is being done.
        settle_seconds: The pause before another look.

    Raises:
        DeliveryError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
        QueryError: More is missing than can be named. Permanent; ask for less.
        SpoolUnavailableError: A spool cannot be read. Retriable once that is mended.
        IntegrityError: Records expired or are damaged while they were read. Permanent; ask again.
    """
    wanted = scope or Scope()
    origin = KafkaOrigin(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    admin = KafkaAdmin(kafka)
    with TopicReader(kafka) as reader:

        def another(limits: dict[str, int] | None) -> dict[str, Standing]:
            return look(
                storage, reader, lambda: admin.lag(group_id), spooled, wanted, report, limits
            )

        found = another(None)
        # An event that is logged meanwhile must not count as missing on its way.
        limits = {name: each.within.last for name, each in found.items()}
        for _ in range(LOOKS - 1):
            if not any(each.absent for each in found.values()):
                break
            report("looking again for what was not found")
            threading.Event().wait(settle_seconds)
            found = another(limits)
    absent = _named(storage, found, wanted)
    windows = expired_windows(storage, origin, admin.lag(group_id), wanted.since) if absent else []
    without_number = unnumbered(storage, wanted.since, wanted.session_id)
    return _balance(found, explained(absent, windows), without_number, wanted)


Beside = tuple[Absent, Neighbour | None, Neighbour | None]


def _named(storage: ClickHouse, found: Mapping[str, Standing], scope: Scope) -> list[Beside]:
    """Return what is nowhere, with the events beside it; of a session, what lies beside its own."""
    lost = [(name, part) for name, each in sorted(found.items()) for part in each.absent]
    edges = [(name, part.first - 1) for name, part in lost if part.first > 0]
    edges += [(name, part.last + 1) for name, part in lost]
    known = neighbours(storage, edges)
    named: list[Beside] = []
    for name, part in lost:
        before, behind = known.get((name, part.first - 1)), known.get((name, part.last + 1))
        beside = [each for each in (before, behind) if each is not None]
        sessions = tuple(dict.fromkeys(each.session_id for each in beside))
        if scope.session_id is None or not sessions or scope.session_id in sessions:
            named.append((_absent(name, part, beside, sessions), before, behind))
    return named


def _absent(
    name: str, part: Range, beside: Sequence[Neighbour], sessions: tuple[str, ...]
) -> Absent:
    return Absent(
        producer_id=name,
        first_seq=part.first,
        last_seq=part.last,
        is_expired=False,
        service=beside[0].service if beside else "",
        host=beside[0].host if beside else "",
        sessions=sessions,
    )


def _balance(
    found: Mapping[str, Standing], absent: Sequence[Absent], unnumbered_events: int, scope: Scope
) -> Account:
    each = list(found.values())
    spooled = sum(one.spooled.size for one in each)
    in_kafka = sum(one.in_kafka.size for one in each)
    held = [one.held for one in each if one.held is not None]
    quarantined = sum(one.numbers - one.stored for one in held)
    expired = sum(one.events for one in absent if one.is_expired)
    missing = sum(one.events for one in absent) - expired
    if scope.session_id is None:
        # Also what Kafka took before `since`, where a number lies between two that it took later.
        stored = sum(one.within.size - one.unstored.size for one in each) - quarantined
    else:
        stored = sum(one.stored for one in held)
    return Account(
        emitted=spooled + in_kafka + stored + quarantined + expired + missing,
        spooled=spooled,
        in_kafka=in_kafka,
        stored=stored,
        quarantined=quarantined,
        expired=expired,
        missing=missing,
        unnumbered=unnumbered_events,
        producers=len(each),
        absent=tuple(absent),
    )
