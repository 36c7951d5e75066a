"""Strands Agents, by its own spans: nothing but `install(audit)`.

Its spans cannot show: a session, unless `trace_attributes={"session.id": …}` names it; `agent.cancel()` and interrupts,
which end as a run that went well; what a tool was called with where content is switched off.
"""

# pyright: reportAttributeAccessIssue=false
# It takes this folder for the package.
from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from strands import Agent, tool
from strands.models import Model

from capture_rules import Outcome, check_runs, check_same_outcome
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger

USAGE = {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12, "cacheReadInputTokens": 5}


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    yield audit
    undo()


def waits(answer: Any) -> bool:
    return callable(answer)


class Scripted(Model):
    """A model that says these texts, calls these tools, raises, or waits for ever."""

    def __init__(self, *answers: Any) -> None:
        self.coming = iter(answers)

    def update_config(self, **config: Any) -> None: ...

    def get_config(self) -> dict[str, str]:
        return {"model_id": "m-1"}

    async def structured_output(self, *args: Any, **more: Any) -> AsyncGenerator[Any]:
        yield {}

    async def stream(self, *args: Any, **more: Any) -> AsyncGenerator[Any]:
        answer: Any = next(self.coming)
        if isinstance(answer, BaseException):
            raise answer
        if waits(answer):
            await answer()
        yield {"messageStart": {"role": "assistant"}}
        if isinstance(answer, str):
            for word in answer.split():
                yield {"contentBlockDelta": {"delta": {"text": word}}}
            stop = "end_turn"
        else:
            name, arguments = answer
            yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "c-1", "name": name}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(arguments)}}}}
            stop = "tool_use"
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": stop}}
        yield {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a < 0:
        raise ValueError("negative")
    return a + b


def agent(*answers: Any, **more: Any) -> Any:
    return Agent(model=Scripted(*answers), tools=[add], name="bot", callback_handler=None, **more)


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """Agent, session, input, answer, tool, arguments and usage are recorded though they come after the start."""
    agent(("add", {"a": 1, "b": 2}), "three", trace_attributes={"session.id": "s-1"})("hi")
    (run,) = check_runs(audit.events)
    assert run.types == [
        "run_started",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "token_usage_updated",
        "message_received",
        "message_sent",
        "run_completed",
    ]
    assert (run.start.session_id, run.start.agent_id) == ("s-1", "bot")
    called = audit.only("tool_call_started")
    assert (called.data["tool_call_id"], called.data["arguments"]) == ("c-1", {"a": 1, "b": 2})
    assert run.end.data["token_usage"] == {
        "input_tokens": 20,
        "output_tokens": 4,
        "total_tokens": 24,
        "cache_read_tokens": 10,
    }


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """A tool's error fails the call; the model is told, and the run goes on."""
    agent(("add", {"a": -1, "b": 2}), "no")("hi")
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_completed"
    assert audit.only("tool_call_failed").data["error_code"] == "ValueError"


def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error fails the call and the run."""
    with pytest.raises(ConnectionError):
        agent(ConnectionError("down"))("hi")
    (run,) = check_runs(audit.events)
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "ConnectionError")


def test_a_run_that_is_cancelled(audit: InMemoryAuditLogger) -> None:
    """A cancellation, which a span does not tell of, is seen in flight."""

    async def main() -> None:
        await asyncio.wait_for(agent(asyncio.Event().wait).invoke_async("hi"), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_cancelled"


@pytest.mark.parametrize("is_broken", [False, True], ids=["to its end", "broken off"])
def test_a_stream(is_broken: bool, audit: InMemoryAuditLogger) -> None:
    """A stream that its reader leaves was cancelled."""

    async def main() -> None:
        async for event in agent("a b c d").stream_async("hi"):
            if is_broken and "data" in event:
                break

    asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert run.end.type == ("run_cancelled" if is_broken else "run_completed")


def test_the_application_sees_what_it_sees_without_us() -> None:
    """The answer is the same with us and without."""
    with InMemoryAuditLogger() as audit:
        seen = check_same_outcome(
            lambda: str(agent(("add", {"a": 1, "b": 2}), "three")("hi")), lambda: install(audit)
        )
    assert seen == Outcome("three\n")
