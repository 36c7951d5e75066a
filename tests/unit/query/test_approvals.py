"""What was asked, who answered, how quickly, and whether the call ran anyway."""

from typing import Any

import pytest

from facts import happened
from trailhouse.query.steps.approvals import Approval, approvals_of, named_calls
from trailhouse.schemas import Actor

EVENT_ID = "019a8c5e-7d2b-7c3f-9a41-0f6f8f0c2b11"
CALL = {"run_id": "r", "tool_name": "pay", "tool_call_id": "c"}
Event = tuple[float, str, dict[str, Any]]
ASKED: Event = (10, "tool_approval_requested", {**CALL, "policy_name": "money", "agent_id": "a"})
GRANTED: Event = (
    12.5,
    "tool_approval_granted",
    {**CALL, "approver": {"type": "user", "id": "ann"}, "reason": "fine"},
)
DENIED: Event = (12, "tool_approval_denied", CALL)
CALLED: Event = (20, "tool_call_started", CALL)


def only(*events: Event) -> Approval:
    """Return the one approval of *events*."""
    (approval,) = approvals_of(happened(*events))
    return approval


def test_who_answered_how_quickly_and_why() -> None:
    """All that the events of one approval say, together."""
    found = only(ASKED, GRANTED, CALLED)
    assert (found.status, found.answer_seconds, found.reason) == ("granted", 2.5, "fine")
    assert (found.answered_by_type, found.answered_by) == ("user", "ann")
    assert (found.tool_name, found.policy_name, found.agent_id) == ("pay", "money", "a")
    assert found.called_at is not None
    assert not found.ran_ungranted


def test_an_answer_that_names_no_approver_is_its_actors() -> None:
    """The event's actor answered, where its data names nobody or nonsense."""
    for nobody in (None, {}, {"id": 5}, "ann", {"id": ""}):
        data = {**CALL, "approver": nobody, "actor": Actor(type="service", id="policy")}
        found = only(ASKED, (12, "tool_approval_granted", data))
        assert (found.answered_by_type, found.answered_by) == ("service", "policy")


@pytest.mark.parametrize(
    ("events", "status", "ran_ungranted"),
    [
        ((ASKED, DENIED, CALLED), "denied", True),
        ((ASKED, CALLED), "open", True),
        ((ASKED, CALLED, (21, *GRANTED[1:])), "granted", True),
        ((ASKED, DENIED, GRANTED, CALLED), "granted", False),
        ((ASKED, GRANTED, (13, *DENIED[1:]), CALLED), "denied", True),
        ((ASKED, DENIED), "denied", False),
        (((5, *CALLED[1:]), ASKED, GRANTED), "granted", True),
        ((GRANTED, CALLED), "granted", False),
    ],
)
def test_a_call_that_ran_without_a_grant_by_then(
    events: tuple[Event, ...], status: str, ran_ungranted: bool
) -> None:
    """Denied, unanswered, answered too late, taken back: it is the last answer before the call that counts."""
    found = only(*events)
    assert (found.status, found.ran_ungranted) == (status, ran_ungranted)


def test_an_id_that_is_used_again_is_asked_about_twice() -> None:
    """Each call belongs to the last request before it."""
    second = (30, *ASKED[1:])
    late, early = approvals_of(
        happened(ASKED, GRANTED, CALLED, second, (31, *DENIED[1:]), (40, *CALLED[1:]))
    )
    assert (early.status, early.ran_ungranted) == ("granted", False)
    assert (late.status, late.ran_ungranted) == ("denied", True)


def test_two_requests_and_an_answer_of_one_moment_are_in_the_order_of_the_view() -> None:
    """A request before answers, then by their hashes: the first of them alone may have been called before it."""
    asked = [(10.0, ASKED[1], {**CALL, "number": number}) for number in range(6)]
    for answer in (GRANTED, DENIED):
        events = [(5, *CALLED[1:]), *asked, (10, *answer[1:])]
        facts = sorted(happened(*events), key=lambda each: (each.occurred_us, each.record_key))
        found = approvals_of(facts)
        first, last = found[-1], found[0]
        assert [each.event_ids[0] for each in found] == [
            each.event_id for each in reversed(facts) if each.type == ASKED[1]
        ]
        assert first.called_at is not None
        assert [each.answers for each in found] == [1, 0, 0, 0, 0, 0]
        assert last.called_at is None


def test_approvals_of_one_moment_are_in_occurrence_order() -> None:
    """Whatever order they come in: by session, tenant and hash, the last first."""
    several: list[Event] = [
        (10, ASKED[1], {**ASKED[2], "session_id": session, "tenant_id": tenant, "event_id": EVENT_ID})
        for session in ("s", "S") for tenant in ("t", None)
    ]  # fmt: skip
    expected = [("s", "t"), ("s", None), ("S", "t"), ("S", None)]
    for events in (several, several[::-1]):
        found = approvals_of(happened(*events))
        assert [(each.session_id, each.tenant_id) for each in found] == expected


def test_approvals_of_other_runs_and_tenants_are_others() -> None:
    """The same ids elsewhere answer nothing here."""
    elsewhere: list[Event] = [
        (12, GRANTED[1], {**GRANTED[2], "run_id": "other"}),
        (13, GRANTED[1], {**GRANTED[2], "tenant_id": "other"}),
    ]
    found = approvals_of(happened(ASKED, *elsewhere))
    assert [(each.run_id, each.tenant_id, each.status) for each in found] == [
        ("r", "other", "granted"),
        ("other", None, "granted"),
        ("r", None, "open"),
    ]


def test_an_approval_is_known_by_its_own_id_and_by_its_calls() -> None:
    """Either id in its data names the call; an answer by the approval's own id finds its request."""
    own = {"run_id": "r", "approval_id": "p"}
    found = only(
        (1, "tool_approval_requested", {**CALL, **own, "arguments": {"b": 1, "a": [2]}}),
        (2, "tool_approval_denied", own),
    )
    assert (found.approval_id, found.tool_call_id, found.status) == ("p", "c", "denied")
    assert found.arguments == '{"a":[2],"b":1}'
    events = happened((1, "tool_approval_requested", own))
    assert named_calls(events) == {("", "s", "r", "p")}


def test_events_without_an_id_are_each_alone() -> None:
    """Nobody can say which answer belongs to which request."""
    found = approvals_of(
        happened((1, "tool_approval_requested", {}), (2, "tool_approval_granted", {}))
    )
    assert [each.status for each in found] == ["granted", "open"]
    assert {each.approval_id for each in found} == {None}
