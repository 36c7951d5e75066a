"""CrewAI with a scripted model: crews, flows and agents are recorded as it happened, in the order of their events."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crewai import Agent, BaseLLM, Crew, Flow, Process, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.flow.async_feedback import HumanFeedbackPending, PendingFeedbackContext
from crewai.flow.flow import listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import SQLiteFlowPersistence
from crewai.llms.base_llm import llm_call_context
from crewai.tools import tool

from capture_rules import Recorded, check_runs, outcome_of
from trailhouse.capture.crewai import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "cached_prompt_tokens": 3}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"key": "k"}'},
}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what CrewAI stores out of the developer's home."""
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    undo = install(audit)
    yield
    undo()


class Scripted(BaseLLM):
    """A model that says its lines in turn, and the last one for ever; a line that is a function is called."""

    lines: list[Any]
    usage: dict[str, int] | None = USAGE
    has_events: bool = True
    said: int = 0

    def call(self, messages: Any, *_: Any, **named: Any) -> Any:
        with llm_call_context():
            agent = named.get("from_agent")
            if self.has_events:
                self._emit_call_started_event(messages, from_agent=agent)
            line = self.lines[min(self.said, len(self.lines) - 1)]
            self.said += 1
            try:
                line = line() if callable(line) else line
            except Exception as error:
                if self.has_events:
                    self._emit_call_failed_event(str(error), from_agent=agent)
                raise
            if self.usage is not None:
                self._track_token_usage_internal(self.usage)
            if self.has_events:
                kind = LLMCallType.TOOL_CALL if isinstance(line, list) else LLMCallType.LLM_CALL
                self._emit_call_completed_event(
                    line, kind, from_agent=agent, messages=messages, usage=self.usage
                )
            return line

    async def acall(self, *args: Any, **named: Any) -> Any:
        return await asyncio.to_thread(self.call, *args, **named)

    def supports_function_calling(self) -> bool:
        return True


@tool
def look_up(key: str) -> str:
    """Look a key up."""
    return f"value of {key}"


@tool("look_up")
def broken_look_up(key: str) -> str:
    """Look a key up."""
    raise LookupError(f"no {key}")


def model(*lines: Any, **named: Any) -> Scripted:
    return Scripted(model="scripted-1", provider="scripted", lines=list(lines), **named)


def agent(llm: Scripted, *, role: str = "researcher", tools: Any = ()) -> Agent:
    return Agent(
        role=role, goal="g", backstory="b", llm=llm, tools=list(tools), max_retry_limit=0, verbose=False
    )  # fmt: skip


def crew_of(*agents: Agent, **named: Any) -> Crew:
    tasks = [Task(description=f"do it, {a.role}", expected_output="x", agent=a) for a in agents]
    return Crew(name="crew", agents=list(agents), tasks=tasks, verbose=False, **named)


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = check_runs(audit.events)
    return run


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
        goes_on.wait(20)
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


class Reporting(Flow):
    @start()
    def begin(self) -> str:
        return str(crew_of(agent(model("from the crew"))).kickoff())

    @listen(begin)
    async def ask(self, said: str) -> str:
        answered = await agent(model("from the agent"), role="writer").kickoff_async(said)
        return str(answered.raw)


def test_a_flow_has_its_crews_and_agents_as_children(audit: InMemoryAuditLogger) -> None:
    """A flow is a run in the session of its state, and what it kicks off are its children."""
    flow = Reporting()
    assert flow.kickoff() == "from the agent"
    run, crew, writer = check_runs(audit.events)
    assert (run.start.agent_id, run.start.session_id) == ("Reporting", flow.flow_id)
    assert [each.start.parent_run_id for each in (crew, writer)] == [run.run_id] * 2
    assert [each.start.agent_id for each in (crew, writer)] == ["researcher", "writer"]


class Failing(Flow):
    error: Any = None

    @start()
    async def begin(self) -> str:
        raise TimeoutError("too slow")


def test_a_flow_that_times_out_says_so(audit: InMemoryAuditLogger) -> None:
    """A flow that a time limit ends has timed out, and the error goes on."""
    with pytest.raises(TimeoutError):
        Failing().kickoff()
    assert only_run(audit).end.type == "run_timeout"


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
