"""The balance sheet: every event that producers have numbered is somewhere, or it is named."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trailhouse.broker.admin import KafkaAdmin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.operate.account.absent import Absent
from trailhouse.operate.account.attested import Attested, attested
from trailhouse.operate.account.expired import expired_windows, explained
from trailhouse.operate.account.snapshot import ProducerState, Scope, snapshot
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequence_gaps import IMPLAUSIBLE_SEQS, GapFinder
from trailhouse.store.sequences import (
    Neighbour,
    neighbours,
    unnumbered,
)

ANSWER_SECONDS = 5.0
SNAPSHOTS = 3
SETTLE_SECONDS = 1.0
MAX_NAMED_HOLES = 100
"""So many holes of one producer are named: the first."""
MAX_NAMED = 2_000
"""So many of all producers together; those with the fewest come first."""


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """One producer of whose numbers some are nowhere, counted by itself.

    Attributes:
        producer_id: Who has numbered them.
        missing: Events that are missing, those that expired included.
        implausible: Jumps that no loss explains.
        unnamed: How many of `missing` are in holes that are not named one by one.
        unnamed_first_seq: Where those holes begin; 0 without any.
        unnamed_last_seq: Where they end, likewise.
    """

    producer_id: str
    missing: int
    implausible: int
    unnamed: int
    unnamed_first_seq: int
    unnamed_last_seq: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``emitted = spooled + in_kafka + stored + quarantined + expired + missing``, in events.

    Each event counts once, where it has come furthest. `unnumbered` events, emitted without a
    `source`, are stored and stand outside: nobody can say whether one of them is missing. So do
    `implausible` jumps in a producer's numbers: no loss explains them, and they are not counted in
    events. `absent` names the first holes of each producer, `incomplete` counts all of each. `standing` says who
    stands behind what is stored; None where the policy enrols nobody.
    """

    emitted: int
    spooled: int
    in_kafka: int
    stored: int
    quarantined: int
    expired: int
    missing: int
    implausible: int
    unnumbered: int
    producers: int
    absent: tuple[Absent, ...]
    incomplete: tuple[Incomplete, ...]
    standing: Attested | None = None


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

    1. Each number that a producer has given is in a table, in Kafka uncommitted, or in a spool; else it is a hole.
    2. A hole is one only if it is seen at each of several looks: an event may be between two places.
    3. Each hole is named, with what stands beside it; of too many, how many are not.
    4. A hole that Kafka's expired records explain is told from one that nothing explains.
    5. What has no number, and so cannot be missed, is counted.
    6. Where services are enrolled, what is stored is counted by who stands behind it.

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
        BrokerError: Kafka is away (retriable), refuses, or has no such topic (permanent).
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
        SpoolUnavailableError: A spool cannot be read. Retriable once that is mended.
        OffsetsExpiredError, UnreadableBatchError: As `TopicReader.read`: records expired, or are damaged.
    """
    wanted = scope or Scope()
    origin = TopicIdentity(kafka, timeout_seconds=ANSWER_SECONDS).origin(kafka)
    admin, gaps = KafkaAdmin(kafka), GapFinder(storage)
    with TopicReader(kafka) as reader:

        def another(limits: dict[str, int] | None) -> dict[str, ProducerState]:
            return snapshot(
                storage, gaps, reader, lambda: admin.lag(group_id), spooled, wanted, report, limits
            )

        found = another(None)  # 1
        # An event that is logged meanwhile must not count as missing on its way.
        limits = {name: each.within.last for name, each in found.items()}
        for _ in range(SNAPSHOTS - 1):
            # 2. Nothing seems to be missing, so nothing needs a second look.
            if all(each.is_complete for each in found.values()):
                break
            report("looking again for what was not found")
            threading.Event().wait(settle_seconds)
            found = another(limits)
    beside, incomplete = _named(storage, found, wanted)  # 3
    plausible = [each for each in beside if not each[0].is_implausible]
    windows = (  # 4
        expired_windows(storage, origin, admin.lag(group_id), wanted.since) if incomplete else []
    )
    named = explained(plausible, windows)
    named += [each[0] for each in beside if each[0].is_implausible]
    # What is left of the offsets that expired explains holes that are not named, whose times nobody asked for.
    unnamed = sum(each.unnamed for each in incomplete)
    expired_unnamed = min(unnamed, sum(window.records for window in windows))
    without_number = unnumbered(storage, wanted.since, wanted.session_id)  # 5
    report("asking who stands behind them")
    standing = attested(storage, wanted)  # 6
    balance = _balance(found, named, incomplete, expired_unnamed, without_number, wanted)
    return msgspec.structs.replace(balance, standing=standing)


Beside = tuple[Absent, Neighbour | None, Neighbour | None]


def _named(
    storage: ClickHouse, found: Mapping[str, ProducerState], scope: Scope
) -> tuple[list[Beside], list[Incomplete]]:
    """Return what is nowhere, with the events beside it; of a session, what lies beside its own.

    The first holes of each producer are named, and each producer is counted.
    """
    without = [name for name, each in found.items() if not each.is_complete]
    chosen: dict[str, list[Range]] = {}
    left = MAX_NAMED
    # Fewest first: one forged number with 150,000 holes must not use up all the names.
    for name in sorted(without, key=lambda name: (len(list(found[name].absent)), name)):
        chosen[name] = list(found[name].absent)[: min(MAX_NAMED_HOLES, left)]
        left -= len(chosen[name])
    lost = [(name, part) for name in sorted(chosen) for part in chosen[name]]
    # What lies beside a hole tells whose it was: session, service, host.
    edges = [(name, part.first - 1) for name, part in lost if part.first > 0]
    edges += [(name, part.last + 1) for name, part in lost]
    known = neighbours(storage, edges)
    named: list[Beside] = []
    own: dict[str, list[Absent]] = {name: [] for name in chosen}
    for name, part in lost:
        before, behind = known.get((name, part.first - 1)), known.get((name, part.last + 1))
        beside = [each for each in (before, behind) if each is not None]
        sessions = tuple(dict.fromkeys(each.session_id for each in beside))
        if scope.session_id is None or not sessions or scope.session_id in sessions:
            absent = _absent(name, part, beside, sessions)
            own[name].append(absent)
            named.append((absent, before, behind))
    counted = [
        _incomplete(name, own[name], found[name], len(chosen[name])) for name in sorted(chosen)
    ]
    return named, [each for each in counted if each.missing or each.implausible]


def _incomplete(
    name: str, named: Sequence[Absent], state: ProducerState, named_holes: int
) -> Incomplete:
    rest = list(state.absent)[named_holes:]
    if state.beyond.absent:
        rest.append(state.beyond.within)
    sizes = [part.size for part in rest]
    if state.beyond.absent:
        # There the range holds events that are stored, too: only what is absent of it counts.
        sizes[-1] = state.beyond.absent
    unnamed = sum(size for size in sizes if size <= IMPLAUSIBLE_SEQS)
    return Incomplete(
        producer_id=name,
        missing=unnamed + sum(each.events for each in named if not each.is_implausible),
        implausible=sum(size > IMPLAUSIBLE_SEQS for size in sizes)
        + sum(each.is_implausible for each in named),
        unnamed=unnamed,
        unnamed_first_seq=rest[0].first if rest else 0,
        unnamed_last_seq=rest[-1].last if rest else 0,
    )


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
        is_implausible=part.size > IMPLAUSIBLE_SEQS,
    )


def _balance(
    found: Mapping[str, ProducerState],
    absent: Sequence[Absent],
    incomplete: Sequence[Incomplete],
    expired_unnamed: int,
    unnumbered_events: int,
    scope: Scope,
) -> Account:
    each = list(found.values())
    spooled = sum(one.spooled.size + one.beyond.spooled for one in each)
    in_kafka = sum(one.in_kafka.size + one.beyond.in_kafka for one in each)
    held = [one.held for one in each if one.held is not None]
    quarantined = sum(one.seqs - one.stored for one in held)
    expired = sum(one.events for one in absent if one.is_expired) + expired_unnamed
    missing = sum(one.missing for one in incomplete) - expired
    if scope.session_id is None:
        # Also what Kafka took before `since`, where a number lies between two that it took later.
        there = sum(one.within.size - one.unstored.size - one.beyond.unstored for one in each)
        stored = there - quarantined
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
        implausible=sum(one.implausible for one in incomplete),
        unnumbered=unnumbered_events,
        producers=len(each),
        absent=tuple(absent),
        incomplete=tuple(incomplete),
    )
