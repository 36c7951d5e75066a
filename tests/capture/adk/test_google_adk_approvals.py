"""Tools of the Agent Development Kit that wait: for a decision, or for a result from outside."""

from collections.abc import Iterator

import pytest
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext
from tests.capture.adk.scripted import Talk, an_agent, answer, calls, pay, runs_of, says

from trailhouse.capture import google_adk
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    undo = google_adk.install(audit)
    yield
    undo()


@pytest.mark.parametrize("is_confirmed", [True, False])
async def test_a_confirmation(audit: InMemoryAuditLogger, is_confirmed: bool) -> None:
    """A tool that waits has not run; it runs once it is approved, and never if it is refused."""
    talk = Talk(
        an_agent(
            calls(("pay", {"amount": 5})),
            says("done"),
            tools=[FunctionTool(pay, require_confirmation=True)],
        )
    )
    asked = await talk.say("pay 5")
    await talk.say(answer(asked, "adk_request_confirmation", {"confirmed": is_confirmed}))

    first, second = runs_of(audit)
    request = next(event for event in first.events if event.type == "tool_approval_requested")
    assert not [kind for kind in first.types if kind.startswith("tool_call")]
    assert (first.end.type, first.end.data["stop_reason"]) == ("run_completed", "paused")
    assert (request.data["tool_name"], request.data["arguments"]) == ("pay", {"amount": 5})
    decision = next(event for event in second.events if event.type.startswith("tool_approval"))
    assert decision.type == ("tool_approval_granted" if is_confirmed else "tool_approval_denied")
    assert decision.data["tool_call_id"] == request.data["tool_call_id"]
    assert decision.data["approval_id"] == request.data["approval_id"]
    ran = ["tool_call_started", "tool_call_completed"] if is_confirmed else []
    assert [kind for kind in second.types if kind.startswith("tool_call")] == ran
    assert second.end.data["stop_reason"] == "end_turn"


async def test_a_confirmation_that_depends_on_the_arguments(audit: InMemoryAuditLogger) -> None:
    """A tool that asks only for large sums has run where the sum was small."""
    tool = FunctionTool(pay, require_confirmation=lambda amount: amount > 100)
    agent = an_agent(
        calls(("pay", {"amount": 5}), ("pay", {"amount": 500})), says("done"), tools=[tool]
    )
    await Talk(agent).say("pay")

    [run] = runs_of(audit)
    started = [event.data["arguments"] for event in run.events if event.type == "tool_call_started"]
    assert started == [{"amount": 5}]
    assert run.types.count("tool_approval_requested") == 1
    assert run.end.data["stop_reason"] == "paused"


async def test_a_tool_that_asks_in_the_middle(audit: InMemoryAuditLogger) -> None:
    """A tool that had begun and then asks has not completed: its call ends as waiting for approval."""

    def careful(amount: int, tool_context: ToolContext) -> dict[str, str]:
        """Pay with care."""
        if tool_context.tool_confirmation is None:
            tool_context.request_confirmation(hint="sure?")
            tool_context.actions.skip_summarization = True
            return {"status": "asked"}
        return {"status": "paid" if tool_context.tool_confirmation.confirmed else "left"}

    talk = Talk(an_agent(calls(("careful", {"amount": 5})), says("done"), tools=[careful]))
    asked = await talk.say("pay 5")
    await talk.say(answer(asked, "adk_request_confirmation", {"confirmed": True}))

    first, second = runs_of(audit)
    failed = next(event for event in first.events if event.type == "tool_call_failed")
    assert failed.data["error_code"] == "approval_required"
    assert first.end.data["stop_reason"] == "paused"
    assert [kind for kind in second.types if kind.startswith("tool")] == [
        "tool_approval_granted",
        "tool_call_started",
        "tool_call_completed",
    ]


async def test_a_tool_whose_result_comes_later(audit: InMemoryAuditLogger) -> None:
    """A long-running tool that has no result yet pauses the run; the result is in the run that it comes with."""

    def order(what: str) -> None:
        """Order."""

    talk = Talk(
        an_agent(
            calls(("order", {"what": "tea"})),
            says("it is here"),
            tools=[LongRunningFunctionTool(order)],
        )
    )
    asked = await talk.say("order tea")
    await talk.say(answer(asked, "order", {"status": "delivered"}))

    first, second = runs_of(audit)
    assert first.types[-2:] == ["session_paused", "run_completed"]
    assert first.end.data["stop_reason"] == "paused"
    assert "tool_call_completed" not in first.types
    assert second.types[:4] == [
        "run_started",
        "session_resumed",
        "tool_call_started",
        "tool_call_completed",
    ]
    assert second.events[3].data["result"] == {"status": "delivered"}
