"""What holds in every run that is recorded, whoever reports it; and what an application sees with us and without."""

import asyncio
import inspect
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.event_shapes import WARNINGS_KEY

ENDS = ("run_completed", "run_failed", "run_cancelled", "run_timeout", "run_abandoned")
TOOL_STARTED = "tool_call_started"
TOOL_ENDS = ("tool_call_completed", "tool_call_failed")
TOKEN_KEYS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip


class Recorded:
    """The events of one run, in the order in which they were logged."""

    def __init__(self, run_id: str, events: Sequence[AuditEvent]) -> None:
        self.run_id = run_id
        self.events = list(events)

    @property
    def types(self) -> list[str]:
        return [str(event.type) for event in self.events]

    @property
    def start(self) -> AuditEvent:
        return next(event for event in self.events if event.type == "run_started")

    @property
    def end(self) -> AuditEvent:
        return next(event for event in self.events if event.type in ENDS)


def check_runs(
    events: Iterable[AuditEvent], *, secrets: Iterable[str] = (), has_right_values: bool = True
) -> list[Recorded]:
    """Check what holds in every run, and return the runs in the order of their starts.

    One start, first of all, and one end a run; each tool call has one start and one end; one session a run, and the
    parent's for a child; the totals are the sums of the run's own model calls; no event lacks what its type should
    hold, unless a test logs wrong values on purpose, without *has_right_values*; none of *secrets* is in any byte.

    Raises:
        AssertionError: Something does not hold; says all that does not, and what was logged.
    """
    events = list(events)
    by_run: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in events:
        if event.run_id is not None:
            by_run[event.run_id].append(event)
    runs = [Recorded(run_id, logged) for run_id, logged in by_run.items()]
    wrong = [fault for run in runs for fault in (*_life(run), *_tools(run), *_usage(run))]
    wrong += _sessions(by_run) + _secrets(events, secrets)
    wrong += _shapes(events) if has_right_values else []
    if wrong:
        lines = [f"  {number}. {_shown(event)}" for number, event in enumerate(events)]
        raise AssertionError("\n".join([*wrong, f"logged were {len(events)}:", *lines]))
    return runs


def _life(run: Recorded) -> list[str]:
    starts = [each for each in run.types if each == "run_started"]
    ends = [each for each in run.types if each in ENDS]
    faults = []
    if len(starts) != 1:
        faults.append(f"run {run.run_id} has {len(starts)} starts")
    elif run.types[0] != "run_started":
        faults.append(f"run {run.run_id} has {run.types[0]} before its start")
    if len(ends) != 1:
        faults.append(f"run {run.run_id} has {len(ends)} ends: {ends}")
    return faults


def _tools(run: Recorded) -> list[str]:
    open_calls: set[object] = set()
    ended: set[object] = set()
    faults = []
    for event in run.events:
        call_id = event.data.get("tool_call_id")
        if event.type == TOOL_STARTED:
            if call_id in open_calls or call_id in ended:
                faults.append(f"tool call {call_id} of run {run.run_id} starts twice")
            open_calls.add(call_id)
        elif event.type in TOOL_ENDS:
            if call_id not in open_calls:
                kind = "a second end" if call_id in ended else "an end without a start"
                faults.append(f"tool call {call_id} of run {run.run_id} has {kind}")
            open_calls.discard(call_id)
            ended.add(call_id)
    return faults + [f"tool call {call} of run {run.run_id} has no end" for call in open_calls]


def _sessions(by_run: dict[str, list[AuditEvent]]) -> list[str]:
    faults = []
    for run_id, events in by_run.items():
        sessions = {event.session_id for event in events}
        if len(sessions) != 1:
            faults.append(f"run {run_id} is in {len(sessions)} sessions: {sorted(sessions)}")
        parents = {event.parent_run_id for event in events if event.parent_run_id is not None}
        if len(parents) > 1:
            faults.append(f"run {run_id} has {len(parents)} parents: {sorted(parents)}")
        faults += [
            f"run {run_id} is not in the session of its parent {parent}"
            for parent in parents & by_run.keys()
            if by_run[parent][0].session_id not in sessions
        ]
    return faults


def _usage(run: Recorded) -> list[str]:
    """The totals of a run that completed are the sums of its model calls, where any was recorded."""
    calls = [e for e in run.events if e.type in ("token_usage_updated", "model_call_failed")]
    ends = [event for event in run.events if event.type == "run_completed"]
    if not calls or len(ends) != 1:
        return []
    sums: dict[str, int] = {}
    for call in calls:
        for key in TOKEN_KEYS:
            if key in call.data:
                sums[key] = sums.get(key, 0) + call.data[key]
    totals = dict(ends[0].data["token_usage"])
    missing = any(call.data.get("usage_missing") for call in calls)
    faults = []
    if totals.pop("usage_missing", False) != missing:
        faults.append(f"run {run.run_id}: usage_missing of the totals is not {missing}")
    if totals != sums:
        faults.append(f"run {run.run_id} has the totals {totals}, its model calls sum up to {sums}")
    costs = [Decimal(str(call.data["cost_usd"])) for call in calls if "cost_usd" in call.data]
    cost = ends[0].data.get("cost_usd")
    if costs and (cost is None or Decimal(str(cost)) != sum(costs)):
        faults.append(f"run {run.run_id} cost {cost}, its model calls {sum(costs)}")
    return faults


def _shapes(events: Iterable[AuditEvent]) -> list[str]:
    return [
        f"a {event.type} lacks what its type should hold: {warning}"
        for event in events
        for warning in event.metadata.get(WARNINGS_KEY, ())
        if warning.startswith("data.")
    ]


def _secrets(events: Iterable[AuditEvent], secrets: Iterable[str]) -> list[str]:
    faults = []
    for number, secret in enumerate(secrets):
        forms = {secret.encode(), json.dumps(secret)[1:-1].encode()}
        faults += [
            f"the planted secret number {number} is in a {event.type}"
            for event in events
            if any(form in event.record for form in forms)
        ]
    return faults


def _shown(event: AuditEvent) -> str:
    tool = event.data.get("tool_name", "")
    return f"{event.type} {tool} run={event.run_id} parent={event.parent_run_id} session={event.session_id}"


class Outcome(NamedTuple):
    """What an application sees: what it returned, or the class and the text of what it raised."""

    result: object = None
    error: type[BaseException] | None = None
    text: str = ""


def outcome_of(
    application: Callable[[], Any], comparable: Callable[[Any], object] = lambda result: result
) -> Outcome:
    """Run *application*, sync or async, and return what it sees; *comparable* leaves out what differs by itself."""
    try:
        result = application()
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
    except BaseException as error:
        if isinstance(error, AssertionError):
            raise
        return Outcome(error=type(error), text=str(error))
    return Outcome(comparable(result))


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def check_same_outcome(
    application: Callable[[], Any],
    install: Callable[[], Callable[[], object]],
    comparable: Callable[[Any], object] = lambda result: result,
) -> Outcome:
    """Run *application* without us and, installed by *install* and undone by what that returns, with us.

    Args:
        application: What is run, twice: a function, or a coroutine function.
        install: Installs us, and returns what takes us out.
        comparable: Makes of a result what is compared: without ids and times, which differ by themselves.

    Raises:
        AssertionError: The two saw different things.
    """
    without = outcome_of(application, comparable)
    undo = install()
    try:
        with_us = outcome_of(application, comparable)
    finally:
        undo()
    assert with_us == without, f"the application saw {with_us} with us, and {without} without"
    return with_us
