"""Events brought together as steps: a call and its end are one, what has no other half is shown as that. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from trailhouse.query.filtering.search_filter import OUTCOMES
from trailhouse.query.steps.event_facts import EventFacts
from trailhouse.schemas import EventType

Kind = Literal["tool_call", "model_call", "approval", "run", "turn", "usage", "message", "event"]
State = Literal["single", "closed", "open", "orphan", "unpaired"]

_STARTS: dict[str, Kind] = {
    EventType.TOOL_CALL_STARTED: "tool_call",
    EventType.MODEL_CALL_STARTED: "model_call",
    EventType.TOOL_APPROVAL_REQUESTED: "approval",
}
_ENDS: dict[str, Kind] = {
    EventType.TOOL_CALL_COMPLETED: "tool_call",
    EventType.TOOL_CALL_FAILED: "tool_call",
    EventType.MODEL_CALL_COMPLETED: "model_call",
    EventType.MODEL_CALL_FAILED: "model_call",
    EventType.TOOL_APPROVAL_GRANTED: "approval",
    EventType.TOOL_APPROVAL_DENIED: "approval",
}
_SINGLES: dict[str, Kind] = {
    EventType.RUN_STARTED: "run",
    EventType.RUN_COMPLETED: "run",
    EventType.RUN_FAILED: "run",
    EventType.RUN_CANCELLED: "run",
    EventType.RUN_TIMEOUT: "run",
    EventType.RUN_ABANDONED: "run",
    EventType.TURN_COMPLETED: "turn",
    EventType.TOKEN_USAGE_UPDATED: "usage",
    EventType.MESSAGE_SENT: "message",
    EventType.MESSAGE_RECEIVED: "message",
    EventType.MESSAGE_STREAMED: "message",
}
_Identity = tuple[str, str, str, Kind, str]
"""Tenant, session, run, kind and the id that pairs: models use an id again in another run."""


class Paired(NamedTuple):
    """One step: its start, its ends in the order of time, and how whole it is."""

    kind: Kind
    state: State
    start: EventFacts | None
    ends: tuple[EventFacts, ...]

    @property
    def events(self) -> tuple[EventFacts, ...]:
        """Its events, at least one, in order of time."""
        return self.ends if self.start is None else (self.start, *self.ends)

    @property
    def first(self) -> EventFacts:
        """The event at which the step stands: its start, or the first that there is."""
        return self.events[0]

    @property
    def last(self) -> EventFacts:
        """The event that tells how it came out: its last end, or the only one that there is."""
        return self.events[-1]

    @property
    def end(self) -> EventFacts | None:
        """Its last end, None while open."""
        return self.ends[-1] if self.ends else None


def paired(events: Sequence[EventFacts]) -> list[Paired]:
    """Return the steps that *events*, in occurrence order, make: each event is in exactly one.

    As the views `tool_calls` and `approvals` have it: the events of one call share its id within tenant, session
    and run; where the id is used again, an end belongs to the last start before it by the producer's clock. A
    start without an end is open, an end without a start an orphan; an event that names no id is unpaired.
    """
    calls: dict[_Identity, list[EventFacts]] = {}
    found: list[Paired] = []
    for event in events:
        kind = _STARTS.get(event.type) or _ENDS.get(event.type)
        if kind is None:
            found.append(Paired(_SINGLES.get(event.type, "event"), "single", event, ()))
        elif name := call_id(event, kind):
            identity = (event.tenant_id, event.session_id, event.run_id, kind, name)
            calls.setdefault(identity, []).append(event)
        elif event.type in _STARTS:
            found.append(Paired(kind, "unpaired", event, ()))
        else:
            found.append(Paired(kind, "unpaired", None, (event,)))
    for identity, same in calls.items():
        found += _split(identity[3], same)
    place = {id(event): number for number, event in enumerate(events)}
    return sorted(found, key=lambda step: min(place[id(event)] for event in step.events))


def _split(kind: Kind, same: Sequence[EventFacts]) -> list[Paired]:
    """Return the calls that one id stands for: each begins with a start, the first may lack it."""
    start: EventFacts | None = None
    ends: list[EventFacts] = []
    found: list[Paired] = []
    for event in sorted(same, key=_in_time):
        if event.type in _ENDS:
            ends.append(event)
            continue
        if start is not None or ends:
            found.append(_call(kind, start, ends))
        start, ends = event, []
    return [*found, _call(kind, start, ends)]


def _call(kind: Kind, start: EventFacts | None, ends: Sequence[EventFacts]) -> Paired:
    state: State = "orphan" if start is None else "closed" if ends else "open"
    return Paired(kind, state, start, tuple(ends))


def _in_time(event: EventFacts) -> tuple[int, bool, bytes]:
    """Return the order of the events of one id; at one moment, a start is before an end."""
    return event.occurred_us, event.type in _ENDS, event.record_key


def call_id(event: EventFacts, kind: Kind) -> str:
    """Return the id by which *event* is paired, empty if it names none."""
    if kind == "tool_call":
        return event.tool_call_id
    if kind == "model_call":
        return event.text("model_call_id")
    # A tool call's id will do for its approval's.
    return (event.text("approval_id") or event.tool_call_id) if kind == "approval" else ""


def duration_seconds(step: Paired) -> float | None:
    """Return the time from the start of a step to its last end, None without both."""
    return None if step.start is None or step.end is None else between(step.start, step.end)


def between(start: EventFacts, end: EventFacts) -> float:
    """Return the seconds from one event to the other, by their producers' clocks."""
    return (end.occurred_us - start.occurred_us) / 1_000_000


def reported_seconds(event: EventFacts | None) -> float | None:
    """Return how long something took as its last event says, None if it does not."""
    return None if event is None or event.duration_ms is None else event.duration_ms / 1_000


def outcome(step: Paired) -> str | None:
    """Return the last word of the type that ended a step: completed, failed, granted …; None while open."""
    if step.state == "open":
        return None
    word = _last_word(step.last.type)[-1]
    return word if word in OUTCOMES else None


_last_word = re.compile("[_.]").split


def name_of(step: Paired) -> str:
    """Return what a step is called: its tool, its model, else the type of its event."""
    events = step.events
    if step.kind in ("tool_call", "approval"):
        return _first(each.tool_name for each in events) or step.first.type
    if step.kind == "model_call":
        return _first(each.model for each in events) or step.first.type
    return step.first.type


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def without_halves(steps: Sequence[Paired]) -> tuple[int, int]:
    """Return how many of *steps* are open, and how many are orphans."""
    return sum(each.state == "open" for each in steps), sum(
        each.state == "orphan" for each in steps
    )
