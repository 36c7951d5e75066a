"""What does not fit in the log: no end, no start, numbers missing, clocks apart, late, one id with several contents."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from trailhouse.query.steps.event_facts import moment
from trailhouse.schemas.ranges import Range
from trailhouse.store.sequence_gaps import Holes

AnomalyKind = Literal[
    "run_without_end",
    "run_without_start",
    "tool_call_never_closed",
    "tool_call_without_start",
    "clock_ahead",
    "clock_behind",
    "late_arrival",
    "conflict",
    "missing_numbers",
]
ANOMALY_KINDS: tuple[AnomalyKind, ...] = get_args(AnomalyKind)


class AnomalyThresholds(msgspec.Struct, frozen=True, kw_only=True):
    """From when on something does not fit.

    Attributes:
        idle_seconds: A run without an end, or an open call, of which nothing came for so long.
        late_seconds: An event that Kafka took so long after it happened.
        ahead_seconds: An event that happened so long after Kafka took it: its producer's clock is ahead.
        settle_seconds: Numbers that are missing for so long already; before, they may be on their way.
    """

    idle_seconds: float = 3_600.0
    late_seconds: float = 300.0
    ahead_seconds: float = 5.0
    settle_seconds: float = 60.0


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that does not fit; None stands for what does not belong to its kind, or that nobody says.

    Attributes:
        kind: ``run_without_end``: no ending event, and nothing came for `idle_seconds`;
            ``run_without_start``: an ending event, and no `run_started`;
            ``tool_call_never_closed``: a start without an end, in a run that has ended or is idle;
            ``tool_call_without_start``: an end alone;
            ``clock_ahead``: events of a producer that Kafka took before they happened;
            ``clock_behind``: every event of a producer was late: its clock is behind, or it sends old events;
            ``late_arrival``: some of them were, such as after an outage;
            ``conflict``: one event id that came with different contents;
            ``missing_numbers``: numbers of a producer that are not there.
        tenant_id: Whose it is.
        session_id: The session; of clocks and late arrivals, that of the event that is furthest off.
        run_id: The run.
        agent_id: The agent; of a run that which its first event with one names.
        tool_name: The tool.
        tool_call_id: The call.
        event_id: The id in conflict.
        producer_id: The producer.
        count: Of how many events, different contents or missing numbers.
        seconds: How far off the clock is, or how late at most (``clock_behind``: at least).
        first_at: When the first of its events happened.
        last_at: When the last did.
        first_seq: The first number that is missing.
        last_seq: The last.
    """

    kind: AnomalyKind
    tenant_id: str | None = None
    session_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    event_id: str | None = None
    producer_id: str | None = None
    count: int = 1
    seconds: float | None = None
    first_at: dt.datetime | None = None
    last_at: dt.datetime | None = None
    first_seq: int | None = None
    last_seq: int | None = None


class AnomalyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What does not fit, kind by kind.

    Attributes:
        counts: How many anomalies of each kind there are: every kind that was looked for, zeros included.
        anomalies: Some of them, the latest of each kind first.
        looked_at: When they were looked for: until then nothing came, since the `last_at` of a run without an end.
    """

    counts: dict[AnomalyKind, int]
    anomalies: tuple[Anomaly, ...]
    looked_at: dt.datetime


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run that may not fit: how many starts and ends, and between when it happened."""

    tenant_id: str
    session_id: str
    run_id: str
    agent_id: str
    starts: int
    ends: int
    first_us: int
    last_us: int


class ProducerClock(msgspec.Struct, frozen=True, kw_only=True):
    """How the events of one producer lie against the broker's clock; lags are appended less occurred."""

    tenant_id: str
    producer_id: str
    events: int
    ahead_events: int
    late_events: int
    least_lag_us: int
    most_lag_us: int
    ahead_session_id: str
    late_session_id: str
    first_ahead_us: int
    last_ahead_us: int
    first_late_us: int
    last_late_us: int


def run_anomaly(run: RunState, now_us: int, thresholds: AnomalyThresholds) -> Anomaly | None:
    """Return what does not fit in *run*, None if all does; a clock that lies ahead is not idle."""
    idle_seconds = (now_us - run.last_us) / 1_000_000
    if run.ends:
        if run.starts:
            return None
        kind: AnomalyKind = "run_without_start"
    elif idle_seconds < thresholds.idle_seconds:
        return None
    else:
        kind = "run_without_end"
    return Anomaly(
        kind=kind,
        tenant_id=run.tenant_id or None,
        session_id=run.session_id,
        run_id=run.run_id,
        agent_id=run.agent_id or None,
        first_at=moment(run.first_us),
        last_at=moment(run.last_us),
    )


def clock_anomalies(clock: ProducerClock) -> list[Anomaly]:
    """Return how the clock of one producer is off, and what of it was late."""
    found: list[Anomaly] = []
    tenant_id, producer_id = clock.tenant_id or None, clock.producer_id or None
    if clock.ahead_events:
        found.append(
            Anomaly(
                kind="clock_ahead",
                session_id=clock.ahead_session_id,
                count=clock.ahead_events,
                seconds=-clock.least_lag_us / 1_000_000,
                first_at=moment(clock.first_ahead_us),
                last_at=moment(clock.last_ahead_us),
                tenant_id=tenant_id,
                producer_id=producer_id,
            )
        )
    if clock.late_events:
        # Of nobody in particular, nobody's clock can be said to be behind.
        all_late = clock.late_events == clock.events and clock.producer_id != ""
        off_us = clock.least_lag_us if all_late else clock.most_lag_us
        found.append(
            Anomaly(
                kind="clock_behind" if all_late else "late_arrival",
                session_id=clock.late_session_id,
                count=clock.late_events,
                seconds=off_us / 1_000_000,
                first_at=moment(clock.first_late_us),
                last_at=moment(clock.last_late_us),
                tenant_id=tenant_id,
                producer_id=producer_id,
            )
        )
    return found


def missing_anomalies(holes: Mapping[str, Holes]) -> list[Anomaly]:
    """Return the numbers that are missing of each producer, those with the most first."""
    found = [
        Anomaly(
            kind="missing_numbers",
            producer_id=name,
            count=hole.size,
            first_seq=_span(hole).first,
            last_seq=_span(hole).last,
        )
        for name, hole in holes.items()
        if hole.size
    ]
    return sorted(found, key=lambda each: (-each.count, each.producer_id or ""))


def _span(hole: Holes) -> Range:
    parts = [*hole.exact, *([hole.beyond] if hole.uncounted else [])]
    return Range(parts[0].first, parts[-1].last)


def report_of(
    found: Mapping[AnomalyKind, tuple[int, Sequence[Anomaly]]], looked_at: dt.datetime
) -> AnomalyReport:
    """Return the report of what was *found* then: of each kind how many there are, and some of them."""
    kinds: list[AnomalyKind] = [kind for kind in ANOMALY_KINDS if kind in found]
    counts: dict[AnomalyKind, int] = {kind: found[kind][0] for kind in kinds}
    return AnomalyReport(
        counts=counts,
        anomalies=tuple(each for kind in kinds for each in found[kind][1]),
        looked_at=looked_at,
    )


def by_kind(
    kinds: Iterable[AnomalyKind], anomalies: Iterable[Anomaly], most: int
) -> dict[AnomalyKind, tuple[int, list[Anomaly]]]:
    """Return of each of *kinds* how many there are among *anomalies*, and the first *most*."""
    all_of: dict[AnomalyKind, list[Anomaly]] = {kind: [] for kind in kinds}
    for each in anomalies:
        all_of[each.kind].append(each)
    return {kind: (len(same), same[:most]) for kind, same in all_of.items()}


def anomaly_of_call(
    row: Sequence[Any], kind: Literal["tool_call_never_closed", "tool_call_without_start"]
) -> Anomaly:
    """Return the anomaly of a row: tenant, session, run, agent, tool, call, and when its first event happened."""
    tenant_id, session_id, run_id, agent_id, tool_name, call, first_us = row
    return Anomaly(
        kind=kind,
        tenant_id=tenant_id or None,
        session_id=session_id,
        run_id=run_id or None,
        agent_id=agent_id or None,
        tool_name=tool_name or None,
        tool_call_id=call,
        first_at=moment(first_us),
        last_at=moment(first_us),
    )
