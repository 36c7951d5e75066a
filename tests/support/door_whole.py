"""Timelines and comparisons to the last step, as plain Python makes them of the records: beside `door_steps`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from door_questions import Fact, facts, status_of

_STARTS = ("tool_call_started", "tool_approval_requested")
_ENDS = ("tool_call_completed", "tool_call_failed", "tool_approval_granted", "tool_approval_denied")


class Whole(NamedTuple):
    """One question that no statement answers: what is asked, and how its answer is told."""

    operation: str
    parameters: dict[str, Any]
    expected: Any
    told: Callable[[Any], Any]


def steps_of(events: Iterable[Fact]) -> list[list[Any]]:
    """Return the steps that *events* make: state, outcome, seconds and events of each; every event is in one."""
    calls: dict[tuple[str, ...], list[Fact]] = defaultdict(list)
    found: list[list[Fact]] = []
    for each in events:
        kind = each.type.rpartition("_")[0]
        if each.type in (*_STARTS, *_ENDS):
            calls[each.tenant, each.session, each.run, kind, each.call].append(each)
        else:
            found.append([each])
    for same in calls.values():
        begun: list[Fact] = []
        for each in sorted(same, key=lambda each: (each.at, each.type in _ENDS, each.key)):
            if each.type in _STARTS or not begun:
                begun = [each]
                found.append(begun)
            else:
                begun.append(each)
    return sorted((_told_step(step) for step in found), key=str)


def _told_step(step: Sequence[Fact]) -> list[Any]:
    has_start, has_end = step[0].type in _STARTS, step[-1].type in _ENDS
    state = (
        "closed" if has_start and has_end
        else "open" if has_start else "orphan" if has_end else "single"
    )  # fmt: skip
    seconds = (step[-1].at - step[0].at).total_seconds() if state == "closed" else None
    outcome = None if state == "open" else step[-1].outcome or None
    return [state, outcome, seconds, [each.event_id for each in step]]


def whole_timeline(session: str) -> Whole:
    """Return a question for each run of a session with all of its steps."""
    runs: dict[str, list[Fact]] = defaultdict(list)
    for each in facts():
        if each.session == session:
            runs[each.run].append(each)
    expected = {run: [status_of(of) if run else None, steps_of(of)] for run, of in runs.items()}

    def told(value: Any) -> Any:
        return {
            run["run_id"] or "": [
                run["status"],
                sorted(
                    (
                        [step[name] for name in ("state", "outcome", "duration_seconds", "event_ids")]
                        for step in run["steps"]
                    ),
                    key=str,
                ),
            ]
            for run in value["runs"]
        }  # fmt: skip

    return Whole("timeline", {"session": session, "limit": 500}, expected, told)


def whole_compare(run_a: str, run_b: str) -> Whole:
    """Return a question for two runs: each event of either stands in one step, and alike is what did the same."""
    by_id = {each.event_id: each for each in facts()}
    sides = [[each for each in facts() if each.run == run] for run in (run_a, run_b)]
    expected = [
        *(sorted(each.event_id for each in side) for side in sides),
        *(len(steps_of(side)) for side in sides),
        True, True,
    ]  # fmt: skip

    def told(value: Any) -> Any:
        events = [
            sorted(event for step in value["steps"] if step[side] for event in step[side]["event_ids"])
            for side in ("a", "b")
        ]  # fmt: skip
        steps = value["steps"]
        alike = [step for step in steps if step["relation"] == "same"]
        are_alike = all(
            _did(by_id, step["a"]) == _did(by_id, step["b"]) for step in alike
        ) and value["same_steps"] == len(alike)
        first = next(
            (place for place, step in enumerate(steps) if step["relation"] != "same"), None
        )
        return [
            *events, value["a"]["steps"], value["b"]["steps"], are_alike,
            first == value["first_difference"],
        ]  # fmt: skip

    return Whole("compare", {"run_a": run_a, "run_b": run_b}, expected, told)


def _did(by_id: dict[str, Fact], step: dict[str, Any]) -> list[Any]:
    begun = by_id[step["event_ids"][0]]
    return [begun.type, begun.tool, step["outcome"]]


WHOLE = {
    **{f"all of {session}": whole_timeline(session) for session in ("airline-01", "airline-12")},
    "two runs of a session": whole_compare("airline-07-trial-0", "airline-07-trial-1"),
    "runs of two sessions": whole_compare("airline-02-trial-1", "airline-31-trial-1"),
    "a run and itself": whole_compare("airline-11-trial-3", "airline-11-trial-3"),
}
