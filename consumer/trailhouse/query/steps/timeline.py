"""What happened in a session or a run, step by step: the tree of its runs, their turns, calls with their ends. Pure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from trailhouse.query.books import Books
from trailhouse.query.run_status import RUN_STATUSES, RunStatus
from trailhouse.query.steps import steps as pairs
from trailhouse.query.steps.event_facts import EventFacts, moment
from trailhouse.query.steps.fact_books import books_of_facts
from trailhouse.schemas import EventType

ParentState = Literal["none", "shown", "elsewhere", "circle"]
LONGEST_MESSAGE_CHARACTERS = 500
_ENDINGS: dict[str, RunStatus] = {f"run_{status}": status for status in RUN_STATUSES[1:]}
_RunKey = tuple[str, str]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an agent did: a call with its end, or a single event.

    Attributes:
        kind: ``tool_call``, ``model_call``, ``approval``, ``run``, ``turn``, ``usage``, ``message``, or ``event``.
        name: The tool, the model, or the event's type.
        state: ``closed``: start and end are there; ``open``: no end; ``orphan``: no start; ``unpaired``: one
            event of a call that names no id; ``single``: an event that has no other half.
        outcome: How it came out: ``completed``, ``failed``, ``granted``, ``denied`` and the like; None while open.
        occurred_at: When it began, by the producer's clock.
        ended_at: When its end happened; None without one.
        duration_seconds: From its start to its last end, None without both.
        reported_seconds: How long it took as its last event says, None if it does not.
        turn: The turn in which it began; None in a run without turns.
        agent_id: Whose it is, None if no event says it.
        call_id: The id that pairs its events, None without one.
        error_code: Of its end, None without one.
        error_message: Likewise, cut after 500 characters.
        input_tokens: Of its end, None if it does not say.
        output_tokens: Likewise.
        total_tokens: Likewise.
        cost_usd: Likewise, US dollars, exact.
        event_ids: Its events, the start first; of several ends the last decides.
        record_bytes: The size of their records.
    """

    kind: pairs.Kind
    name: str
    state: pairs.State
    outcome: str | None
    occurred_at: dt.datetime
    ended_at: dt.datetime | None
    duration_seconds: float | None
    reported_seconds: float | None
    turn: int | None
    agent_id: str | None
    call_id: str | None
    error_code: str | None
    error_message: str | None
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    cost_usd: Decimal | None
    event_ids: tuple[str, ...]
    record_bytes: int


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn of a run: what lies between one `turn_completed` and the next.

    Attributes:
        turn: Its number as its end says, else by counting from 1; numbers of several ends may be equal.
        is_open: Whether its end is missing; the last turn of a run alone can be open.
        started_at: When its first event happened.
        ended_at: When its end happened; None while open.
        duration_seconds: From the one to the other, None while open.
        reported_seconds: How long it took as its end says, None if it does not.
        stop_reason: Why it ended, None if its end does not say.
        steps: How many steps began in it.
    """

    turn: int
    is_open: bool
    started_at: dt.datetime
    ended_at: dt.datetime | None
    duration_seconds: float | None
    reported_seconds: float | None
    stop_reason: str | None
    steps: int


class TimelineRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run with its steps, or the events of a session outside any run.

    Attributes:
        run_id: The run; None for events outside any.
        tenant_id: Its tenant, None without one.
        parent_run_id: The run that started it, None without one.
        parent: ``none``: it names no parent; ``shown``: its parent is the nearest run before it of one depth
            less; ``elsewhere``: its parent is not among what was read; ``circle``: it is its own ancestor.
        depth: How deep it stands in the tree, 0 at the top.
        agent_id: The agent that its first event with one names, None where none does.
        status: Its last ending event's, ``running`` without one; None outside any run.
        has_start: Whether its `run_started` is there.
        error_code: Of its last ending event, None without one.
        error_message: Likewise, cut after 500 characters.
        started_at: When its earliest event happened.
        ended_at: When its last ending event happened, None while running.
        duration_seconds: From the one to the other, None while running.
        reported_seconds: How long it took as that ending event says, None if it does not.
        books: Its tokens and costs: increments and totals, never added.
        turns: Its turns, empty if it says nothing of turns.
        steps: Its steps, in occurrence order of their first events.
        open_steps: How many calls have no end.
        orphan_steps: How many ends have no start.
    """

    run_id: str | None
    tenant_id: str | None
    parent_run_id: str | None
    parent: ParentState
    depth: int
    agent_id: str | None
    status: RunStatus | None
    has_start: bool
    error_code: str | None
    error_message: str | None
    started_at: dt.datetime
    ended_at: dt.datetime | None
    duration_seconds: float | None
    reported_seconds: float | None
    books: Books
    turns: tuple[Turn, ...]
    steps: tuple[Step, ...]
    open_steps: int
    orphan_steps: int


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A session, or one run of it with the runs that it started.

    The tree is flat, however deep: a run stands before the runs that it started, which have its depth and one more.

    Attributes:
        session_id: The session; None where no session has the run that was asked for.
        run_id: The run that was asked for, None for the whole session.
        events: How many events are in it; 0 for what this reader does not see.
        first_occurred_at: When the earliest happened, None without events.
        last_occurred_at: When the latest happened, None without events.
        books: Tokens and costs of all of them: increments and totals, never added.
        runs: Its runs; a parent before its children, else in occurrence order of their first events.
    """

    session_id: str | None
    run_id: str | None
    events: int
    first_occurred_at: dt.datetime | None
    last_occurred_at: dt.datetime | None
    books: Books
    runs: tuple[TimelineRun, ...]


def timeline_of(
    events: Sequence[EventFacts], *, session_id: str | None, run_id: str | None = None
) -> Timeline:
    """Return the timeline of *events*, all of one session and in occurrence order."""
    by_run: dict[_RunKey, list[EventFacts]] = {}
    for each in events:
        by_run.setdefault((each.tenant_id, each.run_id), []).append(each)
    steps_by_run: dict[_RunKey, list[pairs.Paired]] = {}
    for step in pairs.paired(events):
        steps_by_run.setdefault((step.first.tenant_id, step.first.run_id), []).append(step)
    occurred = [each.occurred_us for each in events]
    return Timeline(
        session_id=session_id,
        run_id=run_id,
        events=len(events),
        first_occurred_at=moment(min(occurred)) if occurred else None,
        last_occurred_at=moment(max(occurred)) if occurred else None,
        books=books_of_facts(events),
        runs=tuple(
            _run(by_run[key], steps_by_run.get(key, []), parent, depth)
            for key, parent, depth in _tree(by_run)
        ),
    )


def parent_of(events: Iterable[EventFacts]) -> str:
    """Return the parent that the first of *events* which names one names, empty without."""
    return next((each.parent_run_id for each in events if each.parent_run_id), "")


def _tree(
    by_run: dict[_RunKey, list[EventFacts]],
) -> list[tuple[_RunKey, ParentState, int]]:
    """Return the runs, each parent before its children, with how deep they stand; a circle is cut where it is met."""
    children: dict[_RunKey, list[_RunKey]] = {}
    roots: list[tuple[_RunKey, ParentState]] = []
    for key, events in by_run.items():
        parent = (key[0], parent_of(events)) if key[1] else ("", "")
        if not parent[1]:
            roots.append((key, "none"))
        elif parent not in by_run:
            roots.append((key, "elsewhere"))
        else:
            children.setdefault(parent, []).append(key)
    ordered: list[tuple[_RunKey, ParentState, int]] = []
    seen: set[_RunKey] = set()
    # What no root leads to is in a circle, or below one: it begins at the run that came first.
    begins: list[tuple[_RunKey, ParentState]] = list(roots)
    begins.extend((key, "circle") for key in by_run)
    for root, state in begins:
        # A list and not recursion: a producer may nest runs deeper than Python calls.
        stack: list[tuple[_RunKey, ParentState, int]] = [(root, state, 0)]
        while stack:
            key, parent_state, depth = stack.pop()
            if key in seen:
                continue
            seen.add(key)
            ordered.append((key, parent_state, depth))
            below = children.get(key, ())
            stack.extend((child, "shown", depth + 1) for child in reversed(below))
    return ordered


def _run(
    events: Sequence[EventFacts], steps: Sequence[pairs.Paired], parent: ParentState, depth: int
) -> TimelineRun:
    first = events[0]
    is_run = first.run_id != ""
    endings = [each for each in events if each.type in _ENDINGS]
    end = endings[-1] if endings else None
    open_steps, orphan_steps = pairs.without_halves(steps)
    turns, turn_of = _turns(events)
    return TimelineRun(
        run_id=first.run_id or None,
        tenant_id=first.tenant_id or None,
        parent_run_id=parent_of(events) or None,
        parent=parent,
        depth=depth,
        agent_id=next((each.agent_id for each in events if each.agent_id), None),
        status=(_ENDINGS[end.type] if end else "running") if is_run else None,
        has_start=any(each.type == EventType.RUN_STARTED for each in events),
        error_code=(end.error_code or None) if end else None,
        error_message=_message(end),
        started_at=first.occurred_at,
        ended_at=end.occurred_at if end else None,
        duration_seconds=pairs.between(first, end) if end else None,
        reported_seconds=pairs.reported_seconds(end),
        books=books_of_facts(events),
        turns=_with_steps(turns, steps, turn_of),
        steps=tuple(_step(each, turns, turn_of) for each in steps),
        open_steps=open_steps,
        orphan_steps=orphan_steps,
    )


def _turns(events: Sequence[EventFacts]) -> tuple[list[Turn], dict[int, int]]:
    """Return the turns of a run, and which of them each event is in, by the event's identity in memory."""
    if not any(each.type == EventType.TURN_COMPLETED for each in events):
        return [], {}
    turns: list[Turn] = []
    turn_of: dict[int, int] = {}
    began: EventFacts | None = None
    for each in events:
        # The end of the run is after its last turn, and begins none.
        if began is None and each.type in _ENDINGS:
            continue
        began = began or each
        turn_of[id(each)] = len(turns)
        if each.type == EventType.TURN_COMPLETED:
            turns.append(_turn(len(turns), began, each))
            began = None
    if began is not None:
        turns.append(_turn(len(turns), began, None))
    return turns, turn_of


def _turn(place: int, began: EventFacts, end: EventFacts | None) -> Turn:
    number = None if end is None else end.number("turn")
    return Turn(
        turn=place + 1 if number is None else number,
        is_open=end is None,
        started_at=began.occurred_at,
        ended_at=end.occurred_at if end else None,
        duration_seconds=pairs.between(began, end) if end else None,
        reported_seconds=pairs.reported_seconds(end),
        stop_reason=(end.text("stop_reason") or None) if end else None,
        steps=0,
    )


def _with_steps(
    turns: Sequence[Turn], steps: Sequence[pairs.Paired], turn_of: dict[int, int]
) -> tuple[Turn, ...]:
    counts = [0] * len(turns)
    for each in steps:
        place = turn_of.get(id(each.first))
        if place is not None:
            counts[place] += 1
    return tuple(
        msgspec.structs.replace(turn, steps=count)
        for turn, count in zip(turns, counts, strict=True)
    )


def _step(step: pairs.Paired, turns: Sequence[Turn], turn_of: dict[int, int]) -> Step:
    first, last = step.first, step.last
    place = turn_of.get(id(first))
    return Step(
        kind=step.kind,
        name=pairs.name_of(step),
        state=step.state,
        outcome=pairs.outcome(step),
        occurred_at=first.occurred_at,
        ended_at=step.end.occurred_at if step.end else None,
        duration_seconds=pairs.duration_seconds(step),
        reported_seconds=pairs.reported_seconds(last if step.state != "open" else None),
        turn=None if place is None else turns[place].turn,
        agent_id=first.agent_id or last.agent_id or None,
        call_id=pairs.call_id(first, step.kind) or None,
        error_code=last.error_code or None,
        error_message=_message(last),
        input_tokens=last.input_tokens,
        output_tokens=last.output_tokens,
        total_tokens=last.total_tokens,
        cost_usd=last.cost_usd,
        event_ids=tuple(each.event_id for each in step.events),
        record_bytes=sum(each.record_bytes for each in step.events),
    )


def _message(event: EventFacts | None) -> str | None:
    return (event.text("error_message", LONGEST_MESSAGE_CHARACTERS) or None) if event else None
