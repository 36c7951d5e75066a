"""CrewAI's crews and agents: recorded as it happened, in the order of their events."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from crewai.agent import Agent
from crewai.crew import Crew
from crewai.process import Process
from crewai.task import Task
from crewai.tools import tool
from tests.capture.crewai.scripted import (
    CALL,
    agent,
    broken_look_up,
    crew_of,
    look_up,
    model,
    only_run,
)

from capture_rules import check_runs, outcome_of
from trailhouse.capture.crewai import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError
from waiting import DEADLINE_SECONDS


def test_a_crew_of_one_agent_is_one_run(audit: InMemoryAuditLogger) -> None:
    """A crew of one agent is a run of that agent, with its tool, its usage and its answer, in order."""
    crew = crew_of(agent(model([CALL], "the answer"), tools=[look_up]))
    with audit.bind(session="s-1"):
        crew.kickoff(inputs={"topic": "t"})

    run = only_run(audit)
    assert run.types == [
        "run_started",
        "message_received",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "token_usage_updated",
        "message_sent",
        "run_completed",
    ]
    assert (run.start.session_id, run.start.agent_id) == ("s-1", "researcher")
    assert run.events[3].data["arguments"] == {"key": "k"}
    assert run.events[4].data["result"] == "value of k"
    assert run.events[6].data["content"] == "the answer"
    assert run.end.data["token_usage"] == {
        "input_tokens": 20,
        "output_tokens": 10,
        "cache_read_tokens": 6,
    }
    assert audit.assert_logged("token_usage_updated").provider == "scripted"


def test_the_agents_of_a_crew_are_its_children(audit: InMemoryAuditLogger) -> None:
    """Each agent of several is a child of the crew's run and in its session, with its own usage."""
    crew_of(agent(model("a"), role="first"), agent(model("b"), role="second")).kickoff()
    crew, first, second = check_runs(audit.events)
    assert [run.start.parent_run_id for run in (first, second)] == [crew.run_id] * 2
    assert [run.start.agent_id for run in (first, second)] == ["first", "second"]
    assert [run.end.data["token_usage"].get("input_tokens") for run in (crew, first, second)] == [
        None,
        10,
        10,
    ]


def test_a_model_that_fails_fails_its_crew(audit: InMemoryAuditLogger) -> None:
    """A model's error is told of the call and ends the run, and goes on to the caller."""

    def fail() -> str:
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        crew_of(agent(model(fail))).kickoff()
    run = only_run(audit)
    assert "model_call_failed" in run.types
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "RuntimeError")


def test_a_tool_that_raises_has_failed(audit: InMemoryAuditLogger) -> None:
    """A tool that raises has one failure, and the agent goes on."""
    crew_of(agent(model([CALL], "never mind"), tools=[broken_look_up])).kickoff()
    run = only_run(audit)
    assert run.types.count("tool_call_failed") == 1
    assert "tool_call_completed" not in run.types
    assert run.end.type == "run_completed"


def test_ctrl_c_cancels_and_leaves_no_parent_behind(audit: InMemoryAuditLogger) -> None:
    """A crew that Ctrl-C ends is cancelled, and the next one is not its child."""

    def interrupt() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crew_of(agent(model(interrupt))).kickoff()
    crew_of(agent(model("fine"))).kickoff()
    first, second = check_runs(audit.events)
    assert [run.end.type for run in (first, second)] == ["run_cancelled", "run_completed"]
    assert second.start.parent_run_id is None


async def test_a_cancelled_akickoff_is_cancelled(audit: InMemoryAuditLogger) -> None:
    """A crew whose task is cancelled ends as cancelled, though CrewAI sends no event."""
    asked, goes_on = threading.Event(), threading.Event()

    def wait() -> str:
        asked.set()
        goes_on.wait(DEADLINE_SECONDS)
        return "late"

    task = asyncio.create_task(crew_of(agent(model(wait))).akickoff())
    assert await asyncio.to_thread(asked.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    goes_on.set()
    assert only_run(audit).end.type == "run_cancelled"


async def test_crews_side_by_side_do_not_mix(audit: InMemoryAuditLogger) -> None:
    """Crews in tasks and in threads have each their own tools and usage."""

    def one() -> Crew:
        return crew_of(agent(model([CALL], "x"), tools=[look_up]))

    await asyncio.gather(*(one().akickoff() for _ in range(3)))
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: one().kickoff(), range(3)))
    runs = check_runs(audit.events)
    assert len(runs) == 6
    assert [run.types.count("tool_call_completed") for run in runs] == [1] * 6
    assert [run.types.count("token_usage_updated") for run in runs] == [2] * 6


def test_usage_without_events_is_the_models_own_count(audit: InMemoryAuditLogger) -> None:
    """A model class that sends no events has its own count recorded, of this kickoff alone."""
    llm = model("a", has_events=False)
    for _ in range(2):
        crew_of(agent(llm)).kickoff()
    for run in check_runs(audit.events):
        assert run.end.data["token_usage"]["input_tokens"] == 10


def test_usage_that_is_not_told_is_missing(audit: InMemoryAuditLogger) -> None:
    """A call without usage says so."""
    crew_of(agent(model("a", usage=None))).kickoff()
    assert only_run(audit).end.data["token_usage"] == {"usage_missing": True}


def test_an_agent_by_itself_is_a_run(audit: InMemoryAuditLogger) -> None:
    """An agent's own kickoff is one run: the flow that CrewAI runs it in is none."""
    agent(model([CALL], "the answer"), tools=[look_up]).kickoff("a question")
    run = only_run(audit)
    assert (run.start.agent_id, run.end.type) == ("researcher", "run_completed")
    assert run.types.count("token_usage_updated") == 2
    assert audit.only("message_received").data["content"] == "a question"


def test_a_manager_delegates_to_its_children(audit: InMemoryAuditLogger) -> None:
    """A worker that a manager delegates to is a child of the manager's run."""
    arguments = '{"task": "t", "context": "c", "coworker": "worker"}'
    call = {
        "id": "d",
        "type": "function",
        "function": {"name": "delegate_work_to_coworker", "arguments": arguments},
    }
    manager = Agent(
        role="boss", goal="g", backstory="b", llm=model([call], "all done"), allow_delegation=True
    )
    worker = agent(model("my part"), role="worker")
    Crew(
        agents=[worker], tasks=[Task(description="d", expected_output="x")],
        process=Process.hierarchical, manager_agent=manager,
    ).kickoff()  # fmt: skip
    crew, boss, helper = check_runs(audit.events)
    assert (boss.start.agent_id, boss.start.parent_run_id) == ("boss", crew.run_id)
    assert (helper.start.agent_id, helper.start.parent_run_id) == ("worker", boss.run_id)


def test_plain_python_within_a_tool_finds_its_run(audit: InMemoryAuditLogger) -> None:
    """A run that a tool opens by hand is a child of the crew's, whichever thread the tool runs in."""

    @tool("look_up")
    def nested(key: str) -> str:
        """Look a key up."""
        with audit.run(agent_id="inner"):
            return key

    crew_of(agent(model([CALL], "x"), tools=[nested])).kickoff()
    crew, inner = check_runs(audit.events)
    assert inner.start.parent_run_id == crew.run_id


def test_a_streamed_crew_is_one_run(audit: InMemoryAuditLogger) -> None:
    """A crew that streams ends as it has answered, when its chunks are read."""
    stream = crew_of(agent(model("streamed")), stream=True).kickoff()
    for _ in stream:
        pass
    assert only_run(audit).end.type == "run_completed"


def test_installed_twice_it_records_once(audit: InMemoryAuditLogger) -> None:
    """A second install changes nothing, and undone nothing is recorded."""
    undo = install(audit)
    crew_of(agent(model("a"))).kickoff()
    undo()
    crew_of(agent(model("a"))).kickoff()
    assert only_run(audit).types.count("token_usage_updated") == 1


def test_a_full_spool_changes_nothing(audit: InMemoryAuditLogger) -> None:
    """What an application sees is the same where nothing can be recorded, and where nothing is installed."""

    def application() -> str:
        return str(crew_of(agent(model([CALL], "the answer"), tools=[look_up])).kickoff())

    audit.fail_with(SpoolFullError("full"))
    failing = outcome_of(application)
    assert audit.stats().unlogged_total > 0
    audit.fail_with(None)
    undo = install(audit)
    undo()
    assert failing == outcome_of(application)


def test_strict_no_tool_runs_unrecorded(audit: InMemoryAuditLogger) -> None:
    """Strictly installed, what cannot be recorded raises to CrewAI before a tool begins."""
    install(audit)()
    ran: list[str] = []

    @tool("look_up")
    def noted(key: str) -> str:
        """Look a key up."""
        ran.append(key)
        return key

    crew = crew_of(agent(model([CALL], "x"), tools=[noted]))
    undo = install(audit, strict=True)
    audit.fail_with(SpoolFullError("full"))
    try:
        with pytest.raises(SpoolFullError):
            crew.kickoff()
    finally:
        undo()
    assert ran == []


def test_a_crew_is_in_the_session_that_its_inputs_name(audit: InMemoryAuditLogger) -> None:
    """A crew's inputs may name its session, as it has none of its own; one that is bound comes first."""
    crew_of(agent(model("a"))).kickoff(inputs={"session_id": "s-2"})
    with audit.bind(session="s-1"):
        crew_of(agent(model("a"))).kickoff(inputs={"session_id": "s-2"})
    assert [run.start.session_id for run in check_runs(audit.events)] == ["s-2", "s-1"]
