"""How runs of the OpenAI Agents SDK end: failed, cancelled, out of time, streamed and left."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    InputGuardrail,
    MaxTurnsExceeded,
    RunConfig,
    Runner,
    function_tool,
)
from agents.exceptions import ModelBehaviorError
from agents.testing import ModelStep

from capture_rules import check_runs, outcome_of
from openai_agents_scene import (
    GROUP,
    Stuck,
    add,
    agent,
    answer,
    both,
    calls,
    of_type,
    only,
    reached,
    run,
    shape,
    streamed,
)
from trailhouse.capture.openai_agents import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record every run of the test."""
    undo = install(audit)
    yield
    undo()


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


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
@pytest.mark.usefixtures("installed")
def test_a_tool_that_ends_the_program(
    audit: InMemoryAuditLogger, stop: type[BaseException]
) -> None:
    """An exit in a tool leaves the run unfinished, to be thrown away with its loop: it was cancelled."""

    def leave() -> str:
        """Leave."""
        raise stop

    tool = function_tool(leave)

    def application() -> None:
        asyncio.run(Runner.run(agent(calls(("leave", {})), tools=[tool]), "go", run_config=GROUP))

    with pytest.raises(stop):
        application()
    gc.collect()

    ended = only(audit)
    assert of_type(ended, "tool_call_failed")[0]["error_code"] == stop.__name__
    assert ended.end.type == "run_cancelled"


@pytest.mark.parametrize("read", [1, 6, 12])
@pytest.mark.usefixtures("installed")
def test_a_reader_who_leaves_as_the_loop_ends(audit: InMemoryAuditLogger, read: int) -> None:
    """A stream that its reader leaves early, and that the end of its loop stops, is a cancelled run."""

    async def application() -> None:
        bot = agent(calls(("add", {"a": 1, "b": 1})), answer("2"), tools=[add])
        events = Runner.run_streamed(bot, "go", run_config=GROUP).stream_events()
        for _ in range(read):
            await anext(events)

    asyncio.run(application())

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
