"""How runs of the OpenAI Agents SDK end: failed, cancelled, out of time, paused; and that we change nothing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    InputGuardrail,
    MaxTurnsExceeded,
    RunConfig,
    Runner,
    RunState,
    function_tool,
)
from agents.exceptions import ModelBehaviorError
from agents.models.interface import Model
from agents.run import get_default_agent_runner, set_default_agent_runner
from agents.testing import ModelStep

from capture_rules import Outcome, Recorded, check_runs, check_same_outcome, outcome_of
from openai_agents_scene import add, agent, answer, break_down, calls, drop, of_type, shape
from trailhouse.capture.openai_agents import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError

GROUP = RunConfig(group_id="conversation-1")
UNTRACED = RunConfig(group_id="conversation-1", tracing_disabled=True)
both = pytest.mark.parametrize("config", [GROUP, UNTRACED], ids=["traced", "untraced"])
streamed = pytest.mark.parametrize("is_streamed", [False, True], ids=["run", "streamed"])


@pytest.fixture
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record every run of the test."""
    undo = install(audit)
    yield
    undo()


def only(audit: InMemoryAuditLogger) -> Recorded:
    """Return the only run."""
    (run,) = check_runs(audit.events)
    return run


async def run(bot: Agent[Any], given: Any, *, is_streamed: bool = False, **kwargs: Any) -> Any:
    """Run *bot* to its end, with a stream or without; a stream's error is raised here."""
    if not is_streamed:
        return await Runner.run(bot, given, **kwargs)
    result = Runner.run_streamed(bot, given, **kwargs)
    async for _ in result.stream_events():
        pass
    return result


class Stuck(Model):
    """A model that begins, and never answers."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    async def get_response(self, *_: Any, **__: Any) -> Any:
        self.begun.set()
        await asyncio.Event().wait()

    async def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.begun.set()
        await asyncio.Event().wait()
        yield


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other threads bring it about too
            await asyncio.sleep(0.001)


@both
@streamed
@pytest.mark.usefixtures("installed")
def test_a_model_that_raises_fails_the_run(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool
) -> None:
    """An error of the model is the model call's failure, and the run's."""
    bot = agent(ModelStep.raise_error(ConnectionError("no route")))

    with pytest.raises(ConnectionError):
        asyncio.run(run(bot, "go", is_streamed=is_streamed, run_config=config))

    ended = only(audit)
    assert shape(ended) == ["run_started", "model_call_failed", "run_failed"]
    assert ended.end.data["error_code"] == "ConnectionError"


@both
@streamed
@pytest.mark.usefixtures("installed")
def test_too_many_turns_fail_the_run(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool
) -> None:
    """A run that is not done after its turns has failed, also where only a stream's reader is told."""
    turns = [calls(("add", {"a": 1, "b": 1}), first=number) for number in range(3)]
    bot = agent(*turns, tools=[add])

    with pytest.raises(MaxTurnsExceeded):
        asyncio.run(run(bot, "go", is_streamed=is_streamed, run_config=config, max_turns=2))

    ended = only(audit)
    assert (ended.end.type, ended.end.data["error_code"]) == ("run_failed", "MaxTurnsExceeded")
    assert len(of_type(ended, "tool_call_completed")) == 2


@streamed
@pytest.mark.usefixtures("installed")
def test_an_answer_that_the_sdk_refuses_was_used_all_the_same(
    audit: InMemoryAuditLogger, is_streamed: bool
) -> None:
    """A model that calls a tool which is not there fails the run, and what it used is told."""
    bot = agent(calls(("nothing", {})))

    with pytest.raises(ModelBehaviorError):
        asyncio.run(run(bot, "go", is_streamed=is_streamed))

    ended = only(audit)
    assert [used["input_tokens"] for used in of_type(ended, "token_usage_updated")] == [10]
    assert ended.end.type == "run_failed"


@both
@streamed
@pytest.mark.usefixtures("installed")
def test_a_guardrail_that_raises_fails_the_run(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool
) -> None:
    """An error in a guardrail's function is the run's, though behind a stream it looks like a cancellation."""

    async def check(*_: Any) -> Any:
        raise LookupError("no list")

    bot = Agent(name="bot", model=Stuck(), input_guardrails=[InputGuardrail(check)])

    with pytest.raises(LookupError):
        asyncio.run(run(bot, "go", is_streamed=is_streamed, run_config=config))

    assert only(audit).end.data["error_code"] == "LookupError"


@both
@streamed
@pytest.mark.usefixtures("installed")
def test_a_cancelled_run_says_so_and_its_tool_ends_with_it(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool
) -> None:
    """A cancelled run is cancelled; the tool that it was in ends as cancelled, in its run and session."""
    begun = threading.Event()

    async def wait() -> str:
        """Wait."""
        begun.set()
        await asyncio.Event().wait()
        return "never"

    bot = agent(calls(("wait", {})), tools=[function_tool(wait)])

    async def application() -> None:
        task = asyncio.create_task(run(bot, "go", is_streamed=is_streamed, run_config=config))
        await reached(begun.is_set)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(application())

    ended = only(audit)
    assert ended.end.type == "run_cancelled"
    assert of_type(ended, "tool_call_failed")[0]["error_code"] == "CancelledError"


@pytest.mark.usefixtures("installed")
def test_a_tool_that_goes_on_after_its_run_tells_its_own_end(audit: InMemoryAuditLogger) -> None:
    """A tool that a cancellation does not stop has completed, after its run, and is told so in that run."""
    begun, finish = threading.Event(), asyncio.Event()

    async def stubborn() -> str:
        """Go on."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await finish.wait()
        return "done after all"

    bot = agent(calls(("stubborn", {})), tools=[function_tool(stubborn)])

    async def application() -> None:
        task = asyncio.create_task(Runner.run(bot, "go", run_config=GROUP))
        await reached(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert audit.events[-1].type == "run_cancelled"
        finish.set()
        await reached(lambda: audit.events[-1].type != "run_cancelled")

    asyncio.run(application())

    ended = only(audit)
    assert ended.types[-2:] == ["run_cancelled", "tool_call_completed"]
    assert of_type(ended, "tool_call_completed")[0]["result"] == "done after all"


@pytest.mark.parametrize("limit", ["model", "tool", "around"])
@pytest.mark.usefixtures("installed")
def test_time_limits(audit: InMemoryAuditLogger, limit: str) -> None:
    """A time limit inside the run ends it as timed out; one around it cannot be told from a cancellation."""
    from agents import ModelSettings

    async def wait() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return "never"

    tool = function_tool(wait, timeout=0.02, timeout_behavior="raise_exception")
    bots: dict[str, Agent[Any]] = {
        "model": Agent(name="bot", model=Stuck(), model_settings=ModelSettings(timeout=0.02)),
        "tool": agent(calls(("wait", {})), tools=[tool]),
        "around": Agent(name="bot", model=Stuck()),
    }

    async def application() -> None:
        running = Runner.run(bots[limit], "go", run_config=GROUP)
        await (asyncio.wait_for(running, 0.05) if limit == "around" else running)

    assert outcome_of(application).error is not None

    end = only(audit).end
    assert end.type == ("run_cancelled" if limit == "around" else "run_timeout")


@pytest.mark.usefixtures("installed")
def test_ctrl_c_cancels_a_sync_run(audit: InMemoryAuditLogger) -> None:
    """Ctrl-C in `run_sync` reaches the application, and the run is cancelled."""

    class Interrupted(Stuck):
        async def get_response(self, *_: Any, **__: Any) -> Any:
            # From within the loop: a signal that arrives just before it sleeps does not wake it.
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
            await super().get_response()

    with pytest.raises(KeyboardInterrupt):
        Runner.run_sync(Agent(name="bot", model=Interrupted()), "go", run_config=GROUP)

    assert only(audit).end.type == "run_cancelled"


@pytest.mark.parametrize("how", ["cancel", "after_turn", "loop closed"])
@pytest.mark.usefixtures("installed")
def test_a_broken_off_stream_is_cancelled(audit: InMemoryAuditLogger, how: str) -> None:
    """A stream that its reader cancels, at once or after the turn, or leaves as the loop ends, is a cancelled run."""
    stuck = Stuck()
    bot = agent(calls(("add", {"a": 1, "b": 1})), answer("2"), tools=[add])

    async def application() -> None:
        if how == "after_turn":
            result = Runner.run_streamed(bot, "go", run_config=GROUP)
            result.cancel(mode="after_turn")
            async for _ in result.stream_events():
                pass
            return
        result = Runner.run_streamed(Agent(name="bot", model=stuck), "go", run_config=GROUP)
        await reached(stuck.begun.is_set)
        if how == "cancel":
            result.cancel()
            async for _ in result.stream_events():
                pass

    asyncio.run(application())

    ended = only(audit)
    assert ended.end.type == "run_cancelled"
    assert len(of_type(ended, "model_call_failed")) == (0 if how == "after_turn" else 1)


@pytest.mark.usefixtures("installed")
def test_a_stream_is_told_like_a_run(audit: InMemoryAuditLogger) -> None:
    """A streamed run has the same events as one that is not."""
    for is_streamed in (False, True):
        bot = agent(calls(("add", {"a": 1, "b": 1})), answer("2"), tools=[add])
        asyncio.run(run(bot, "go", is_streamed=is_streamed, run_config=GROUP))

    plain, stream = check_runs(audit.events)
    assert plain.types == stream.types
    assert stream.end.data["token_usage"] == plain.end.data["token_usage"]


@both
@streamed
@pytest.mark.parametrize("granted", [True, False], ids=["approved", "rejected"])
@pytest.mark.parametrize("kept_as", ["state", "text"])
@pytest.mark.usefixtures("installed")
def test_a_pause_and_its_decision(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool, granted: bool, kept_as: str
) -> None:
    """A tool that waits has not run: the run is paused, and the resumed one tells the decision, in the same session."""

    async def application() -> None:
        bot = agent(calls(("drop", {"table": "t"})), answer("ok"), tools=[drop])
        paused = await run(bot, "drop t", is_streamed=is_streamed, run_config=config)
        state = paused.to_state()
        if kept_as == "text":
            state = await RunState.from_string(bot, state.to_string())
        (waiting,) = state.get_interruptions()
        if granted:
            state.approve(waiting)
        else:
            state.reject(waiting, rejection_message="not today")
        untraced = RunConfig(tracing_disabled=config.tracing_disabled)
        await run(bot, state, is_streamed=is_streamed, run_config=untraced)

    asyncio.run(application())

    paused, resumed = check_runs(audit.events)
    assert shape(paused) == ["run_started", "tool_approval_requested", "run_completed"]
    assert paused.end.data["stop_reason"] == "paused"
    assert of_type(paused, "tool_approval_requested")[0]["arguments"] == {"table": "t"}
    assert resumed.start.session_id == paused.start.session_id == "conversation-1"
    tool = ["tool_call_started", "tool_call_completed"] if granted else []
    decision = "tool_approval_granted" if granted else "tool_approval_denied"
    assert shape(resumed) == ["run_started", decision, *tool, "run_completed"]
    (decided,) = of_type(resumed, decision)
    assert decided["tool_call_id"] == "c-1"
    assert decided.get("reason") == (None if granted else "not today")


@both
@streamed
@pytest.mark.usefixtures("installed")
def test_a_pause_inside_a_nested_agent(
    audit: InMemoryAuditLogger, config: RunConfig, is_streamed: bool
) -> None:
    """A nested agent that waits pauses both runs, is asked for and decided once, and its tool has not completed."""

    async def application() -> None:
        inner = agent(calls(("drop", {"table": "t"})), answer("ok"), name="inner", tools=[drop])
        tools = [inner.as_tool("ask", "Ask.")]
        outer = agent(calls(("ask", {"input": "go"})), answer("fine"), name="outer", tools=tools)
        state = (await run(outer, "go", is_streamed=is_streamed, run_config=config)).to_state()
        state.approve(state.get_interruptions()[0])
        await run(outer, state, is_streamed=is_streamed)

    asyncio.run(application())

    first, first_inner, second, second_inner = check_runs(audit.events)
    assert [each.end.data["stop_reason"] for each in (first, first_inner)] == ["paused"] * 2
    assert first_inner.types.count("tool_approval_requested") == 1
    assert "tool_approval_requested" not in first.types
    assert of_type(first, "tool_call_failed")[0]["error_code"] == "approval_required"
    assert of_type(second, "tool_call_completed")[0]["tool_name"] == "ask"
    assert second_inner.start.parent_run_id == second.run_id
    assert second_inner.types.count("tool_approval_granted") == 1
    assert "tool_approval_granted" not in second.types


APPLICATIONS: dict[str, Any] = {
    "answers": lambda: run(agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add]), "go"),
    "streams": lambda: run(
        agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add]), "go", is_streamed=True
    ),
    "tool raises": lambda: run(
        agent(
            calls(("break_down", {})),
            tools=[function_tool(break_down, failure_error_function=None)],
        ),
        "go",
    ),
    "tool is answered for": lambda: run(
        agent(calls(("break_down", {})), answer("sorry"), tools=[function_tool(break_down)]), "go"
    ),
    "model raises": lambda: run(agent(ModelStep.raise_error(ConnectionError("no"))), "go"),
    "pauses": lambda: run(agent(calls(("drop", {"table": "t"})), tools=[drop]), "go"),
    "wrong hooks": lambda: run(agent(answer("3")), "go", hooks=object()),
    "too many turns": lambda: run(
        agent(*[calls(("add", {"a": 1, "b": 1}))] * 2, tools=[add]), "go", max_turns=1
    ),
}


def comparable(result: Any) -> object:
    """Return what an application sees of a result, without ids and times."""
    items = [(type(item).__name__, getattr(item, "output", None)) for item in result.new_items]
    return result.final_output, items, len(result.interruptions), result.context_wrapper.usage


@pytest.mark.parametrize("fault", [None, SpoolFullError("full")], ids=["works", "spool full"])
@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_application_sees_what_it_sees_without_us(
    audit: InMemoryAuditLogger, name: str, fault: SpoolFullError | None
) -> None:
    """Results and errors are the same with us and without, also when nothing can be recorded, which is counted."""
    if fault is not None:
        audit.fail_with(fault)

    check_same_outcome(APPLICATIONS[name], lambda: install(audit), comparable)

    if fault is not None and name != "wrong hooks":
        assert audit.stats().unlogged_total > 0


def test_strict_does_not_begin_what_it_cannot_record(audit: InMemoryAuditLogger) -> None:
    """A strict adapter raises before the agent begins, rather than let it act without a record."""
    bot = agent(answer("3"))
    undo = install(audit, strict=True)
    audit.fail_with(SpoolFullError("full"))
    try:
        seen = outcome_of(lambda: run(bot, "go"))
    finally:
        undo()

    assert seen.error is SpoolFullError
    assert not bot.model.calls


def test_installed_twice_and_undone(audit: InMemoryAuditLogger) -> None:
    """Installed twice it records once; undone, it records nothing, and the SDK's own runner is back."""
    before = get_default_agent_runner()
    first, second = install(audit), install(audit)
    asyncio.run(run(agent(answer("1")), "go"))
    assert len(check_runs(audit.events)) == 1

    first()
    second()
    asyncio.run(run(agent(answer("2")), "go"))
    assert len(check_runs(audit.events)) == 1
    assert get_default_agent_runner() is before


def test_undone_beneath_another_runner_it_passes_on(audit: InMemoryAuditLogger) -> None:
    """A runner that somebody has put around ours stays, and ours records no more."""
    before = get_default_agent_runner()
    undo = install(audit)

    class Around:
        def __init__(self, inner: Any) -> None:
            self.run = inner.run

    around = Around(get_default_agent_runner())
    set_default_agent_runner(around)
    try:
        undo()
        assert get_default_agent_runner() is around
        assert asyncio.run(run(agent(answer("1")), "go")).final_output == "1"
    finally:
        set_default_agent_runner(before)
    assert audit.events == []


def test_the_outcome_of_a_cancelled_application_is_its_own(audit: InMemoryAuditLogger) -> None:
    """A time limit around a run raises what it raises without us."""

    async def application() -> None:
        await asyncio.wait_for(run(Agent(name="bot", model=Stuck()), "go"), 0.05)

    seen = check_same_outcome(application, lambda: install(audit))
    assert seen == Outcome(error=TimeoutError, text="")
