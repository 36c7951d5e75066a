"""The OpenAI Agents SDK: runs, tools, nested agents, handoffs, guardrails and usage, with tracing and without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputGuardrailTripwireTriggered,
    OutputGuardrail,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    RunHooks,
    Runner,
    SQLiteSession,
    UserError,
    function_tool,
    trace,
)
from agents.testing import ModelStep, assistant_message

from capture_rules import Recorded, check_runs
from openai_agents_scene import add, agent, answer, break_down, broken, calls, fault, of_type, shape
from trailhouse.capture.openai_agents import install
from trailhouse.producer.testing import InMemoryAuditLogger

GROUP = RunConfig(group_id="conversation-1")
UNTRACED = RunConfig(group_id="conversation-1", tracing_disabled=True)
both = pytest.mark.parametrize("config", [GROUP, UNTRACED], ids=["traced", "untraced"])


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record every run of the test."""
    undo = install(audit)
    yield
    undo()


def only(audit: InMemoryAuditLogger) -> Recorded:
    """Return the only run."""
    (run,) = check_runs(audit.events)
    return run


@both
def test_a_run_and_its_tools_are_told_once(audit: InMemoryAuditLogger, config: RunConfig) -> None:
    """A run has one start and one end, in the group's session, with its tools, its messages and its own usage."""
    bot = agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add])

    assert Runner.run_sync(bot, "1 + 2?", run_config=config).final_output == "3"

    run = only(audit)
    assert run.start.session_id == "conversation-1"
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
    assert of_type(run, "tool_call_started")[0] == {
        "tool_name": "add",
        "tool_call_id": "c-1",
        "arguments": {"a": 1, "b": 2},
    }
    assert of_type(run, "tool_call_completed")[0]["result"] == 3
    assert run.end.data["token_usage"] == {
        "input_tokens": 30,
        "output_tokens": 5,
        "total_tokens": 35,
    }
    assert [event.data["content"] for event in run.events if "message" in event.type] == [
        "1 + 2?",
        "3",
    ]


@both
def test_a_tool_that_raises_has_failed_though_the_model_is_told_a_text(
    audit: InMemoryAuditLogger, config: RunConfig
) -> None:
    """The SDK answers for a tool that raises; it has failed all the same, with its own error."""
    bot = agent(calls(("broken", {})), answer("sorry"), tools=[broken])

    asyncio.run(Runner.run(bot, "go", run_config=config))

    run = only(audit)
    (failed,) = of_type(run, "tool_call_failed")
    assert (failed["error_code"], failed["error_message"]) == ("LookupError", fault())
    assert run.end.type == "run_completed"


@both
@pytest.mark.parametrize("text", ["told", None], ids=["own text", "raises"])
def test_a_tool_with_an_error_function_of_its_own_has_failed(
    audit: InMemoryAuditLogger, config: RunConfig, text: str | None
) -> None:
    """What a tool's own error function tells the model is no answer of the tool; without one the run fails too."""
    given: Any = None if text is None else lambda _context, _error: text
    tool = function_tool(break_down, failure_error_function=given)
    bot = agent(calls(("break_down", {})), answer("sorry"), tools=[tool])

    if text is None:
        with pytest.raises(UserError, match=fault()):
            asyncio.run(Runner.run(bot, "go", run_config=config))
    else:
        asyncio.run(Runner.run(bot, "go", run_config=config))

    run = only(audit)
    assert of_type(run, "tool_call_failed")[0]["error_code"] == "LookupError"
    assert run.end.type == ("run_failed" if text is None else "run_completed")


@both
@pytest.mark.parametrize("own_text", [True, False])
def test_a_tool_that_times_out_has_failed(
    audit: InMemoryAuditLogger, config: RunConfig, own_text: bool
) -> None:
    """A tool that its time limit stops has failed, also where the SDK or the application answers for it."""

    async def wait() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return "never"

    given: Any = {"timeout_error_function": lambda _context, _error: "late"} if own_text else {}
    tool = function_tool(wait, timeout=0.02, **given)
    asyncio.run(
        Runner.run(agent(calls(("wait", {})), answer("ok"), tools=[tool]), "go", run_config=config)
    )

    assert of_type(only(audit), "tool_call_failed")[0]["error_code"] == "ToolTimeoutError"


@both
def test_a_nested_agent_is_a_child_run_with_usage_of_its_own(
    audit: InMemoryAuditLogger, config: RunConfig
) -> None:
    """An agent used as a tool is a child run in its parent's session; the parent's totals leave out the child's."""
    inner = agent(answer("Paris", 100, 1), name="inner")
    tools = [inner.as_tool("ask", "Ask.")]
    outer = agent(
        calls(("ask", {"input": "capital?"})), answer("Paris!"), name="outer", tools=tools
    )

    result = asyncio.run(Runner.run(outer, "capital of France?", run_config=config))

    parent, child = check_runs(audit.events)
    assert (parent.start.agent_id, child.start.agent_id) == ("outer", "inner")
    assert child.start.parent_run_id == parent.run_id
    assert parent.end.data["token_usage"]["input_tokens"] == 30
    assert child.end.data["token_usage"]["input_tokens"] == 100
    assert result.context_wrapper.usage.input_tokens == 130
    assert not of_type(child, "message_received")


@both
def test_a_handoff_is_told_and_the_run_goes_on(
    audit: InMemoryAuditLogger, config: RunConfig
) -> None:
    """A handoff names both agents; the run stays one, with the first agent's id and the last agent in its end."""
    second = agent(answer("here"), name="second")
    first = agent(calls(("transfer_to_second", {})), name="first", handoffs=[second])

    asyncio.run(Runner.run(first, "go", run_config=config))

    run = only(audit)
    assert of_type(run, "agent_handed_off") == [{"from_agent_id": "first", "to_agent_id": "second"}]
    assert (run.start.agent_id, run.end.metadata["last_agent_id"]) == ("first", "second")
    assert not of_type(run, "tool_call_started")


@both
@pytest.mark.parametrize("stage", ["input", "output"])
@pytest.mark.parametrize("trips", [True, False])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])
def test_guardrails_are_told(
    audit: InMemoryAuditLogger, config: RunConfig, stage: str, trips: bool, is_streamed: bool
) -> None:
    """A guardrail passes or trips, once; one that trips fails the run."""
    found = GuardrailFunctionOutput(output_info="off topic", tripwire_triggered=trips)
    given: dict[str, Any] = (
        {"input_guardrails": [InputGuardrail(lambda *_: found, name="topic")]}
        if stage == "input"
        else {"output_guardrails": [OutputGuardrail(lambda *_: found, name="topic")]}
    )
    bot = agent(answer("hello"), **given)

    async def application() -> None:
        if not is_streamed:
            await Runner.run(bot, "go", run_config=config)
            return
        async for _ in Runner.run_streamed(bot, "go", run_config=config).stream_events():
            pass

    if trips:
        with pytest.raises((InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered)):
            asyncio.run(application())
    else:
        asyncio.run(application())

    run = only(audit)
    tripped, passed = of_type(run, "guardrail_tripped"), of_type(run, "guardrail_passed")
    (told,) = tripped if trips else passed
    assert len(tripped + passed) == 1
    assert (told["guardrail"], told["stage"], told["reason"]) == ("topic", stage, "off topic")
    assert run.end.type == ("run_failed" if trips else "run_completed")


def test_usage_that_nobody_gave_is_missing(audit: InMemoryAuditLogger) -> None:
    """A provider that says nothing of usage is not one that used nothing."""
    asyncio.run(Runner.run(agent(ModelStep(output=[assistant_message("hi")])), "go"))

    run = only(audit)
    assert of_type(run, "token_usage_updated") == [
        {"usage_missing": True, "model_call_id": "resp-789"}
    ]
    assert run.end.data["token_usage"] == {"usage_missing": True}


@pytest.mark.parametrize("named_by", ["group", "trace", "session", "conversation", "bound", "run"])
def test_where_the_session_comes_from(audit: InMemoryAuditLogger, named_by: str) -> None:
    """The session is the group, else the SDK's session, else the conversation, else what is bound, else the trace."""
    session = SQLiteSession("s-1") if named_by == "session" else None
    config = RunConfig(group_id="s-1" if named_by == "group" else None)
    conversation = "s-1" if named_by == "conversation" else None

    async def application() -> None:
        bot = agent(answer("hi"))
        await Runner.run(
            bot, "go", session=session, run_config=config, conversation_id=conversation
        )

    if named_by == "trace":
        with trace("workflow", group_id="s-1"):
            asyncio.run(application())
    elif named_by == "bound":
        with audit.bind(session={"id": "s-1"}):
            asyncio.run(application())
    elif named_by == "run":
        with audit.run("s-1"):
            asyncio.run(application())
    else:
        asyncio.run(application())

    assert {run.start.session_id for run in check_runs(audit.events)} == {"s-1"}


def test_a_run_without_a_session_is_kept_under_its_trace(audit: InMemoryAuditLogger) -> None:
    """Where nobody names a session, the trace does, and the start says so."""
    asyncio.run(Runner.run(agent(answer("hi")), "go"))

    start = only(audit).start
    assert start.session_id == start.trace_id
    assert start.metadata["session_missing"] is True


def test_parallel_runs_of_one_trace_do_not_mix(audit: InMemoryAuditLogger) -> None:
    """Runs side by side in one trace, as tasks and in threads, keep their own tools and usage."""

    def bot(number: int) -> Agent[Any]:
        return agent(
            calls(("add", {"a": number, "b": 0}), input_tokens=1000 + number),
            answer(str(number)),
            name=f"bot-{number}",
            tools=[add],
        )

    async def side_by_side() -> None:
        with trace("workflow", group_id="s-1"):
            await asyncio.gather(*(Runner.run(bot(number), "go") for number in range(8)))

    def alone(number: int) -> None:
        asyncio.run(Runner.run(bot(number), "go", run_config=RunConfig(group_id="s-1")))

    threads = [threading.Thread(target=alone, args=(number,)) for number in range(8, 16)]
    for thread in threads:
        thread.start()
    asyncio.run(side_by_side())
    for thread in threads:
        thread.join()

    runs = check_runs(audit.events)
    assert len(runs) == 16
    for run in runs:
        number = int(str(run.start.agent_id).removeprefix("bot-"))
        assert of_type(run, "tool_call_completed")[0]["result"] == number
        assert run.end.data["token_usage"]["input_tokens"] == 1020 + number


class Own(RunHooks[Any]):
    """Hooks of an application, which note what they see."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def on_agent_start(self, *_: Any) -> None:
        self.seen.append("agent_start")

    async def on_agent_end(self, *_: Any) -> None:
        self.seen.append("agent_end")

    async def on_llm_start(self, *_: Any) -> None:
        self.seen.append("llm_start")

    async def on_llm_end(self, *_: Any) -> None:
        self.seen.append("llm_end")

    async def on_tool_start(self, *_: Any) -> None:
        self.seen.append("tool_start")

    async def on_tool_end(self, _context: Any, _agent: Any, _tool: Any, result: Any) -> None:
        self.seen.append(f"tool_end {result}")


def test_the_applications_hooks_see_what_they_see_without_us(
    audit: InMemoryAuditLogger,
) -> None:
    """Hooks of the run and of the agent are called as ever, beside ours."""

    own = Own()
    bot = agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add])
    asyncio.run(Runner.run(bot, "go", hooks=own))

    assert own.seen == [
        "agent_start",
        "llm_start",
        "llm_end",
        "tool_start",
        "tool_end 3",
        "llm_start",
        "llm_end",
        "agent_end",
    ]
    assert shape(only(audit)) == [
        "run_started",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]
