"""Two runs side by side: their steps aligned, where they part, what each did else, what each cost. Pure."""

import datetime as dt
from collections.abc import Hashable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec

from trailhouse.query.books import Books, less
from trailhouse.query.run_status import RunStatus
from trailhouse.query.steps import steps as pairs
from trailhouse.query.steps.alignment import Match, aligned
from trailhouse.query.steps.event_facts import EventFacts
from trailhouse.query.steps.timeline import Step, Timeline, TimelineRun, timeline_of
from trailhouse.schemas.record import encode_sorted

Relation = Literal["same", "changed", "only_a", "only_b"]
WORDS = frozenset({"content", "result"})
"""What may differ while both runs did the same: what was said, and what a tool answered."""
_COMPARED: dict[pairs.Kind, tuple[str, ...]] = {
    "tool_call": ("arguments", "result"),
    "model_call": ("parameters", "stop_reason"),
    "approval": ("arguments", "decision"),
    "message": ("role", "content"),
    "turn": ("stop_reason",),
    "run": ("stop_reason",),
    "usage": (),
}
_NUMBERS = frozenset(
    ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "duration_ms", "token_usage")
)
_Identity = tuple[Hashable, ...]


class RunSide(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs.

    Attributes:
        session_id: Its session; None where no session has the run.
        run_id: The run.
        tenant_id: Its tenant, None without one.
        agent_id: Its agent, None if no event says it.
        events: How many it has; 0 for a run that this reader does not see.
        steps: How many steps they make.
        status: As of a run in a timeline; None without events.
        error_code: Likewise.
        started_at: Likewise.
        duration_seconds: Likewise.
        tool_calls: How many calls of tools began.
        failed_steps: How many steps failed; how the run itself ended is its status.
        open_steps: How many calls have no end.
        books: Its tokens and costs: increments and totals, never added.
    """

    session_id: str | None
    run_id: str
    tenant_id: str | None
    agent_id: str | None
    events: int
    steps: int
    status: RunStatus | None
    error_code: str | None
    started_at: dt.datetime | None
    duration_seconds: float | None
    tool_calls: int
    failed_steps: int
    open_steps: int
    books: Books


class AlignedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of both runs, or of one of them.

    Attributes:
        relation: ``same``; ``changed``: both have it, not alike; ``only_a`` or ``only_b``: one run has it.
        differs: What differs where it is changed: arguments, result, content, outcome, error_code …
        a: The step of the first run, None where it has none.
        b: The step of the second run, likewise.
    """

    relation: Relation
    differs: tuple[str, ...]
    a: Step | None
    b: Step | None

    @property
    def is_other_action(self) -> bool:
        """Whether the runs did something different here, and did not only say or hear it."""
        return self.relation != "same" and not (self.differs and WORDS.issuperset(self.differs))


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How two runs differ.

    Attributes:
        a: The first run.
        b: The second run.
        same_steps: How many steps are alike.
        changed_steps: How many both have, not alike.
        only_a: How many the first run alone has.
        only_b: How many the second run alone has.
        first_difference: Place in `steps` of the first that is not the same; None where all are.
        first_other_action: Place of the first where the runs did something different, and did not only say
            or hear it: another call, other arguments, another outcome; None where there is none.
        increments_cost_usd: By how much the second run cost more, US dollars, by its increments; None if unknown.
        totals_cost_usd: Likewise, by what `run_completed` says.
        steps: Both runs' steps, aligned.
    """

    a: RunSide
    b: RunSide
    same_steps: int
    changed_steps: int
    only_a: int
    only_b: int
    first_difference: int | None
    first_other_action: int | None
    increments_cost_usd: Decimal | None
    totals_cost_usd: Decimal | None
    steps: tuple[AlignedStep, ...]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is compared by.

    Attributes:
        session_id: Its session, None where no session has it.
        run_id: The run.
        events: Its events in occurrence order, all of one tenant.
    """

    session_id: str | None
    run_id: str
    events: Sequence[EventFacts]


def comparison_of(a: Side, b: Side) -> tuple[Comparison, bool]:
    """Return how the runs differ, and whether no other alignment has more steps in common."""
    found_a, found_b = pairs.paired(a.events), pairs.paired(b.events)
    matches, is_longest = _matches(found_a, found_b)
    timeline_a, timeline_b = (
        timeline_of(each.events, session_id=each.session_id, run_id=each.run_id) for each in (a, b)
    )
    steps = tuple(
        _aligned_steps(matches, (found_a, _steps(timeline_a)), (found_b, _steps(timeline_b)))
    )
    counts = {
        name: sum(each.relation == name for each in steps)
        for name in ("same", "changed", "only_a", "only_b")
    }
    books_a, books_b = timeline_a.books, timeline_b.books
    found = Comparison(
        a=_side(a, timeline_a),
        b=_side(b, timeline_b),
        same_steps=counts["same"],
        changed_steps=counts["changed"],
        only_a=counts["only_a"],
        only_b=counts["only_b"],
        first_difference=_first(each.relation != "same" for each in steps),
        first_other_action=_first(each.is_other_action for each in steps),
        increments_cost_usd=less(books_b.increments.cost_usd, books_a.increments.cost_usd),
        totals_cost_usd=less(books_b.totals.cost_usd, books_a.totals.cost_usd),
        steps=steps,
    )
    return found, is_longest


def _steps(timeline: Timeline) -> tuple[Step, ...]:
    return timeline.runs[0].steps if timeline.runs else ()


def _first(answers: Iterator[bool]) -> int | None:
    return next((place for place, answer in enumerate(answers) if answer), None)


def _side(side: Side, timeline: Timeline) -> RunSide:
    run: TimelineRun | None = timeline.runs[0] if timeline.runs else None
    steps = run.steps if run else ()
    return RunSide(
        session_id=side.session_id,
        run_id=side.run_id,
        tenant_id=run.tenant_id if run else None,
        agent_id=run.agent_id if run else None,
        events=timeline.events,
        steps=len(steps),
        status=run.status if run else None,
        error_code=run.error_code if run else None,
        started_at=run.started_at if run else None,
        duration_seconds=run.duration_seconds if run else None,
        tool_calls=sum(each.kind == "tool_call" and each.state != "orphan" for each in steps),
        failed_steps=sum(each.outcome == "failed" and each.kind != "run" for each in steps),
        open_steps=run.open_steps if run else 0,
        books=timeline.books,
    )


def _matches(a: Sequence[pairs.Paired], b: Sequence[pairs.Paired]) -> tuple[list[Match], bool]:
    """Align by what was done, and what is left between by its name: a call with other arguments is changed, not two."""
    exact = aligned([*map(_deed, a)], [*map(_deed, b)])
    found: list[Match] = []
    is_longest = exact.is_longest
    x0 = y0 = 0
    for x, y in [*exact.matches, (len(a), len(b))]:
        between = aligned([*map(_name, a[x0:x])], [*map(_name, b[y0:y])])
        is_longest = is_longest and between.is_longest
        found += [(x0 + i, y0 + j) for i, j in between.matches]
        if x < len(a):
            found.append((x, y))
        x0, y0 = x + 1, y + 1
    return found, is_longest


def _name(step: pairs.Paired) -> _Identity:
    # The type of its end is how it came out; a run's end is the same step, however it ended.
    name = "end" if step.kind == "run" and step.first.type != "run_started" else pairs.name_of(step)
    return step.kind, name, step.first.text("role") if step.kind == "message" else ""


def _deed(step: pairs.Paired) -> _Identity:
    arguments = _plain(_said(step, "arguments")) if step.kind in ("tool_call", "approval") else b""
    return *_name(step), arguments


def _aligned_steps(
    matches: Sequence[Match],
    a: tuple[Sequence[pairs.Paired], Sequence[Step]],
    b: tuple[Sequence[pairs.Paired], Sequence[Step]],
) -> Iterator[AlignedStep]:
    x0 = y0 = 0
    for x, y in [*matches, (len(a[0]), len(b[0]))]:
        for step in a[1][x0:x]:
            yield AlignedStep(relation="only_a", differs=(), a=step, b=None)
        for step in b[1][y0:y]:
            yield AlignedStep(relation="only_b", differs=(), a=None, b=step)
        if x < len(a[0]):
            differs = tuple(_differences(a[0][x], b[0][y]))
            relation: Relation = "changed" if differs else "same"
            yield AlignedStep(relation=relation, differs=differs, a=a[1][x], b=b[1][y])
        x0, y0 = x + 1, y + 1


def _differences(a: pairs.Paired, b: pairs.Paired) -> Iterator[str]:
    if a.state != b.state:
        yield "state"
    if pairs.outcome(a) != pairs.outcome(b):
        yield "outcome"
    if a.last.error_code != b.last.error_code:
        yield "error_code"
    # Without the data of one of them, nobody can say.
    if any(each.data is None for each in (*a.events, *b.events)):
        return
    names = _COMPARED.get(a.kind)
    if names is None:
        if _without_numbers(a.last) != _without_numbers(b.last):
            yield "data"
        return
    for name in names:
        if _plain(_said(a, name)) != _plain(_said(b, name)):
            yield name


def _said(step: pairs.Paired, name: str) -> object:
    """Return what the first event of a step that says *name* says."""
    return next((each.data[name] for each in step.events if each.data and name in each.data), None)


def _plain(value: object) -> bytes:
    """Return *value*, or what it is the JSON text of, in one spelling of white space and keys."""
    try:
        if isinstance(value, str) and value[:1] in ("{", "["):
            value = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return encode_sorted(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return type(value).__name__.encode()


def _without_numbers(event: EventFacts) -> dict[str, Any]:
    """Return the data of a single event without what is another in each run: durations, tokens, costs, ids of calls."""
    return {
        name: value
        for name, value in (event.data or {}).items()
        if name not in _NUMBERS and not name.endswith("_id")
    }
