"""Who was asked before a tool ran, who answered, how quickly, and whether the call ran anyway. Pure.

Request, answer and call are brought together as the view `approvals` does it, and a test holds the two together.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from trailhouse.proof.standing import Standing, weakest
from trailhouse.query.steps import steps as pairs
from trailhouse.query.steps.event_facts import EventFacts, moment
from trailhouse.schemas import EventType
from trailhouse.schemas.record import encode_sorted

ApprovalStatus = Literal["open", "granted", "denied"]
LONGEST_TEXT_CHARACTERS = 2_000
APPROVAL_TYPES = (
    EventType.TOOL_APPROVAL_REQUESTED,
    EventType.TOOL_APPROVAL_GRANTED,
    EventType.TOOL_APPROVAL_DENIED,
)
CallKey = tuple[str, str, str, str]
"""Tenant, session, run and tool call."""
_Order = tuple[int, str, str, bytes]
"""Of an event in occurrence order."""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One request for approval with its answers and the call that it was about.

    Attributes:
        tenant_id: Its tenant, None without one.
        session_id: Its session.
        run_id: Its run, None without one.
        approval_id: What pairs request and answer: `approval_id`, else the call's id; None if it has neither.
        tool_call_id: The call that was to be approved, None if nobody names it.
        tool_name: The tool, None if nobody names it.
        agent_id: The agent that asked, likewise.
        policy_name: The policy that asks, likewise.
        arguments: What the tool would be called with: JSON text, cut after 2,000 characters; None if nobody says.
        action_digest: The digest of exactly that, as the request has it.
        status: ``granted`` or ``denied``, as the last answer says; ``open`` without one.
        requested_at: When it was asked for; None where nobody asked.
        answered_at: When the last answer was given; None while open.
        answer_seconds: From the one to the other; None without both.
        answered_by_type: Of the last answer: the approver's type, else its actor's; None if it names nobody.
        answered_by: Likewise, who that is.
        reason: Of the last answer, in the approver's words, cut after 2,000 characters.
        answers: How many answers there are; more than one may contradict each other.
        called_at: When the call was started first; None where it never was.
        ran_ungranted: Whether the call was started though the last answer by then was no grant.
        event_ids: Its events, the request first.
        standing: The weakest of its events' standings: of what a stranger may have added it is not ``attested``; None
            where the policy enrols nobody.
    """

    tenant_id: str | None
    session_id: str
    run_id: str | None
    approval_id: str | None
    tool_call_id: str | None
    tool_name: str | None
    agent_id: str | None
    policy_name: str | None
    arguments: str | None
    action_digest: str | None
    status: ApprovalStatus
    requested_at: dt.datetime | None
    answered_at: dt.datetime | None
    answer_seconds: float | None
    answered_by_type: str | None
    answered_by: str | None
    reason: str | None
    answers: int
    called_at: dt.datetime | None
    ran_ungranted: bool
    event_ids: tuple[str, ...]
    standing: Standing | None = None


class UnaskedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a tool that ran without anybody being asked, where others of that tool asked.

    Attributes:
        tenant_id: Its tenant, None without one.
        session_id: Its session.
        run_id: Its run, None without one.
        tool_call_id: The call, None if it names none.
        tool_name: The tool.
        agent_id: The agent, None without one.
        called_at: When it was started.
    """

    tenant_id: str | None
    session_id: str
    run_id: str | None
    tool_call_id: str | None
    tool_name: str
    agent_id: str | None
    called_at: dt.datetime


class ApprovalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was approved, and what was not asked for.

    Attributes:
        approvals: The latest first, by their first events in occurrence order.
        unasked: Calls without approval of tools that others were asked about, the latest first.
    """

    approvals: tuple[Approval, ...]
    unasked: tuple[UnaskedCall, ...]


def approvals_of(
    events: Sequence[EventFacts], standings: Mapping[str, Standing] = MappingProxyType({})
) -> list[Approval]:
    """Return the approvals that *events* make, the latest first; starts of tool calls among them say what ran.

    *standings* are those of the events, by id: the weakest of several that bear one id.
    """
    asked = [each for each in events if each.type in APPROVAL_TYPES]
    by_id: dict[tuple[str, str, str, str], list[pairs.Paired]] = {}
    alone: list[list[pairs.Paired]] = []
    for each in pairs.paired(asked):
        name = pairs.call_id(each.first, "approval")
        if name:
            first = each.first
            by_id.setdefault((first.tenant_id, first.session_id, first.run_id, name), []).append(
                each
            )
        else:
            alone.append([each])
    starts = _starts(events)
    found: list[tuple[_Order, Approval]] = []
    for same in [*by_id.values(), *alone]:
        # In order of time; an answer without a request is before the first request, so that it is the first.
        same.sort(key=lambda step: _order_of(step.first))
        for place, each in enumerate(same):
            until_us = same[place + 1].first.occurred_us if place + 1 < len(same) else None
            called_us = _called_us(each, starts, until_us, is_first=place == 0)
            approval = _standing(_approval(each, called_us), standings)
            found.append((_order_of(each.first), approval))
    return [approval for _, approval in sorted(found, key=lambda pair: pair[0], reverse=True)]


def _order_of(event: EventFacts) -> _Order:
    return event.occurred_us, event.session_id, event.tenant_id, event.record_key


def call_key(event: EventFacts, call: str) -> CallKey:
    """Return what tells the tool call *call* of an event from every other."""
    return event.tenant_id, event.session_id, event.run_id, call


def named_calls(events: Iterable[EventFacts]) -> set[CallKey]:
    """Return the calls that approvals among *events* are about, by either id that they name."""
    return {
        call_key(each, name)
        for each in events
        if each.type in APPROVAL_TYPES
        for name in (each.tool_call_id, each.text("approval_id"))
        if name
    }


def _starts(events: Iterable[EventFacts]) -> dict[CallKey, list[int]]:
    starts: dict[CallKey, list[int]] = {}
    for each in events:
        if each.type == EventType.TOOL_CALL_STARTED and each.tool_call_id:
            starts.setdefault(call_key(each, each.tool_call_id), []).append(each.occurred_us)
    return {key: sorted(times) for key, times in starts.items()}


def _called_us(
    step: pairs.Paired, starts: Mapping[CallKey, list[int]], until_us: int | None, *, is_first: bool
) -> int | None:
    """Return when the call was started: the first time since its approval, else the last time before the first."""
    call = _first_text(step.events, "tool_call_id")
    times = starts.get(call_key(step.first, call), []) if call else []
    began_us = step.first.occurred_us
    for each in times:
        if each >= began_us and (until_us is None or each < until_us):
            return each
    before = [each for each in times if each < began_us]
    return before[-1] if is_first and before else None


def _approval(step: pairs.Paired, called_us: int | None) -> Approval:
    first, request = step.first, step.start
    last = step.end
    by_then = [
        each for each in step.ends if called_us is not None and each.occurred_us <= called_us
    ]
    was_granted = bool(by_then) and by_then[-1].type == EventType.TOOL_APPROVAL_GRANTED
    by_type, by = _answered_by(last)
    return Approval(
        tenant_id=first.tenant_id or None,
        session_id=first.session_id,
        run_id=first.run_id or None,
        approval_id=pairs.call_id(first, "approval") or None,
        tool_call_id=_first_text(step.events, "tool_call_id") or None,
        tool_name=_first_text(step.events, "tool_name") or None,
        agent_id=_first_text(step.events, "agent_id") or None,
        policy_name=next(
            (name for each in step.events if (name := each.text("policy_name"))), None
        ),
        arguments=_arguments(step.events),
        action_digest=next(
            (digest for each in step.events if (digest := each.text("action_digest"))), None
        ),
        status=_status(last),
        requested_at=request.occurred_at if request else None,
        answered_at=last.occurred_at if last else None,
        answer_seconds=(last.occurred_us - request.occurred_us) / 1_000_000
        if last and request
        else None,
        answered_by_type=by_type or None,
        answered_by=by or None,
        reason=(last.text("reason", LONGEST_TEXT_CHARACTERS) or None) if last else None,
        answers=len(step.ends),
        called_at=None if called_us is None else moment(called_us),
        ran_ungranted=called_us is not None and not was_granted,
        event_ids=tuple(each.event_id for each in step.events),
    )


def _standing(approval: Approval, standings: Mapping[str, Standing]) -> Approval:
    of_events = (standings[each] for each in approval.event_ids if each in standings)
    return msgspec.structs.replace(approval, standing=weakest(of_events))


def _status(last: EventFacts | None) -> ApprovalStatus:
    if last is None:
        return "open"
    return "granted" if last.type == EventType.TOOL_APPROVAL_GRANTED else "denied"


def _answered_by(last: EventFacts | None) -> tuple[str, str]:
    if last is None:
        return "", ""
    approver = last.data.get("approver") if last.data else None
    if isinstance(approver, dict) and isinstance(name := approver.get("id"), str) and name:
        kind = approver.get("type")
        return kind if isinstance(kind, str) else "", name
    return last.actor_type, last.actor_id


def _arguments(events: Iterable[EventFacts]) -> str | None:
    for each in events:
        value: Any = each.data.get("arguments") if each.data else None
        if value is not None:
            text = value if isinstance(value, str) else encode_sorted(value).decode()
            return text[:LONGEST_TEXT_CHARACTERS]
    return None


def _first_text(
    events: Iterable[EventFacts], name: Literal["tool_call_id", "tool_name", "agent_id"]
) -> str:
    texts: Iterable[str] = (getattr(each, name) for each in events)
    return next((text for text in texts if text), "")
