"""CrewAI's flows: what they kick off, what they wait for, and how they end."""

from pathlib import Path
from typing import Any

import pytest
from crewai.flow.async_feedback import HumanFeedbackPending, PendingFeedbackContext
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import SQLiteFlowPersistence
from tests.capture.crewai.scripted import agent, crew_of, model, only_run

from capture_rules import check_runs
from trailhouse.producer.testing import InMemoryAuditLogger


class Reporting(Flow):
    @start()
    def begin(self) -> str:
        return str(crew_of(agent(model("from the crew"))).kickoff())

    @listen(begin)
    async def ask(self, said: str) -> str:
        answered = await agent(model("from the agent"), role="writer").kickoff_async(said)
        return str(answered.raw)


class Failing(Flow):
    error: Any = None

    @start()
    async def begin(self) -> str:
        raise TimeoutError("too slow")


class Later:
    """A provider of feedback that has none yet."""

    def request_feedback(self, context: PendingFeedbackContext, flow: Any) -> str:
        raise HumanFeedbackPending(context=context)


class Now:
    """A provider that answers at once, and tells the bus nothing."""

    def request_feedback(self, context: PendingFeedbackContext, flow: Any) -> str:
        return "looks good"


class Reviewed(Flow):
    @start()
    @human_feedback(message="Publish?", provider=Later())
    def draft(self) -> str:
        return "a draft"

    @listen(draft)
    def publish(self, _: Any) -> str:
        return "published"


class ReviewedNow(Flow):
    @start()
    @human_feedback(message="Publish?", provider=Now())
    def draft(self) -> str:
        return "a draft"


def test_a_flow_has_its_crews_and_agents_as_children(audit: InMemoryAuditLogger) -> None:
    """A flow is a run in the session of its state, and what it kicks off are its children."""
    flow = Reporting()
    assert flow.kickoff() == "from the agent"
    run, crew, writer = check_runs(audit.events)
    assert (run.start.agent_id, run.start.session_id) == ("Reporting", flow.flow_id)
    assert [each.start.parent_run_id for each in (crew, writer)] == [run.run_id] * 2
    assert [each.start.agent_id for each in (crew, writer)] == ["researcher", "writer"]


def test_a_flow_that_times_out_says_so(audit: InMemoryAuditLogger) -> None:
    """A flow that a time limit ends has timed out, and the error goes on."""
    with pytest.raises(TimeoutError):
        Failing().kickoff()
    assert only_run(audit).end.type == "run_timeout"


def test_a_flow_that_waits_is_paused_and_goes_on(
    audit: InMemoryAuditLogger, tmp_path: Path
) -> None:
    """A flow that waits for feedback is paused, and the decision is in the run that goes on, in one session."""
    store = SQLiteFlowPersistence(str(tmp_path / "flows.db"))
    flow = Reviewed(persistence=store)
    flow.kickoff()
    assert Reviewed.from_pending(flow.flow_id, store).resume("go ahead") == "published"

    paused, resumed = check_runs(audit.events)
    assert paused.end.data["stop_reason"] == "paused"
    assert paused.start.session_id == resumed.start.session_id
    asked, granted = audit.only("tool_approval_requested"), audit.only("tool_approval_granted")
    assert (asked.run_id, granted.run_id) == (paused.run_id, resumed.run_id)
    assert asked.data["approval_id"] == granted.data["approval_id"]
    assert (asked.data["arguments"], granted.data["reason"]) == ("a draft", "go ahead")
    assert resumed.end.type == "run_completed"


def test_feedback_that_comes_at_once_is_asked_and_decided(audit: InMemoryAuditLogger) -> None:
    """Feedback within a run is a question and a decision there."""
    ReviewedNow().kickoff()
    run = only_run(audit)
    kinds = [each for each in run.types if each.startswith("tool_approval")]
    assert kinds == ["tool_approval_requested", "tool_approval_granted"]


def test_a_refusal_is_denied(audit: InMemoryAuditLogger) -> None:
    """An outcome that refuses is a denial."""

    class Routed(Flow):
        @start()
        @human_feedback(
            message="Publish?",
            provider=Now(),
            emit=["approved", "rejected"],
            llm=model('{"outcome": "rejected"}', "rejected"),
        )
        def draft(self) -> str:
            return "a draft"

    Routed().kickoff()
    assert audit.only("tool_approval_denied").data["decision"] == "denied"
