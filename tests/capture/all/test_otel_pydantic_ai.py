"""Pydantic AI, by the spans that it makes itself: `Agent.instrument_all()` beside `install(audit)`.

Its spans cannot show: that a run is resumed (only its session and its calls' ids tell), and a timeout round a run,
which comes as a cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    RunContext,
    ToolDenied,
)
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from capture_rules import Outcome, check_runs, check_same_outcome, outcome_of
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError

USAGE = RequestUsage(input_tokens=30, output_tokens=4, cache_read_tokens=20, cache_write_tokens=5)


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    Agent.instrument_all()
    yield
    Agent.instrument_all(False)


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    yield audit
    undo()


def script(*answers: Any) -> FunctionModel:
    """Return a model that gives these answers: a text, a call of a tool, or an error."""
    coming = iter(answers)

    def answer(_messages: Any, _info: Any) -> ModelResponse:
        part = next(coming)
        if isinstance(part, BaseException):
            raise part
        return ModelResponse(parts=[TextPart(part) if isinstance(part, str) else part], usage=USAGE)

    return FunctionModel(answer, model_name="m-1")


def agent(*answers: Any, name: str = "bot", **more: Any) -> Any:
    return Agent(script(*answers), name=name, **more)


def searching(*answers: Any, tool: Callable[..., Any] | None = None, **more: Any) -> Any:
    """Return an agent with a tool ``search``, which calls it and then gives these answers."""
    made = agent(ToolCallPart("search", {"q": "x"}, tool_call_id="c-1"), *answers, **more)

    def search(q: str) -> str:
        return f"found {q}"

    tool = tool or search
    tool.__name__ = "search"
    made.tool_plain(tool)
    return made


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """Session, agent, run id, input, answer, tool, arguments, result, usage and cached tokens are recorded."""
    result = searching("it is x").run_sync("where?", conversation_id="conv-1")
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
    assert (run.start.session_id, run.start.agent_id) == ("conv-1", "bot")
    assert run.run_id == result.run_id
    assert audit.only("tool_call_started").data["arguments"] == {"q": "x"}
    assert audit.only("tool_call_completed").data["result"] == "found x"
    assert audit.only("message_received").data["content"] == "where?"
    assert audit.only("message_sent").data["content"] == "it is x"
    assert run.end.data["token_usage"] == {
        "input_tokens": 60,
        "output_tokens": 8,
        "cache_read_tokens": 40,
        "cache_write_tokens": 10,
    }


def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """A provider's error fails the call and the run, and reaches the application."""
    with pytest.raises(ConnectionError):
        agent(ConnectionError("down")).run_sync("hi")
    (run,) = check_runs(audit.events)
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "ConnectionError")
    assert audit.only("model_call_failed").data["error_message"] == "down"


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """A tool's error fails the call and the run."""

    def search(q: str) -> str:
        raise LookupError(q)

    with pytest.raises(LookupError):
        searching(tool=search).run_sync("hi")
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_failed"
    assert audit.only("tool_call_failed").data["error_code"] == "LookupError"


def test_a_tool_that_is_called_again(audit: InMemoryAuditLogger) -> None:
    """A call that the model has to make again has failed; the run goes on."""
    calls: list[str] = []

    def search(q: str) -> str:
        calls.append(q)
        if len(calls) == 1:
            raise ModelRetry("again")
        return "ok"

    again = ToolCallPart("search", {"q": "y"}, tool_call_id="c-2")
    searching(again, "done", tool=search).run_sync("hi")
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_completed"
    assert audit.only("tool_call_failed").data["tool_call_id"] == "c-1"
    assert audit.only("tool_call_completed").data["tool_call_id"] == "c-2"


@pytest.mark.parametrize("by", ["task", "limit"], ids=["cancelled", "out of time"])
def test_a_run_that_is_cancelled(by: str, audit: InMemoryAuditLogger) -> None:
    """A cancelled run is one; its tool, which ends after it, has its end in the same run and session."""

    async def main() -> None:
        started = asyncio.Event()

        async def search(q: str) -> str:
            started.set()
            await asyncio.Event().wait()
            return q

        async def at_most(limit: asyncio.Timeout) -> None:
            async with limit:
                await searching(tool=search).run("hi")

        limit = asyncio.timeout(None)
        task = asyncio.create_task(at_most(limit))
        await started.wait()
        if by == "limit":
            limit.reschedule(asyncio.get_running_loop().time())
        else:
            task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError if by == "task" else TimeoutError):
        asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert run.end.type == "run_cancelled"
    assert audit.only("tool_call_failed").data["error_code"] == "CancelledError"


def test_an_agent_within_an_agent(audit: InMemoryAuditLogger) -> None:
    """An agent that a tool asks is a child run in the same session, with its own usage."""
    inner = agent("inner answer", name="inner")
    outer = agent(ToolCallPart("ask", {}), "fin", name="outer")

    @outer.tool
    async def ask(ctx: RunContext[None]) -> str:
        return str((await inner.run("q", usage=ctx.usage)).output)

    outer.run_sync("hi")
    first, second = check_runs(audit.events)
    assert [first.start.agent_id, second.start.agent_id] == ["outer", "inner"]
    assert second.start.parent_run_id == first.run_id
    assert first.end.data["token_usage"]["input_tokens"] == 60
    assert second.end.data["token_usage"]["input_tokens"] == 30


def deleting(*, by_itself: bool) -> tuple[Any, list[str]]:
    """Return an agent that wants to delete ``x``, and what it has deleted: an approval is declared, or asked for."""
    wanted = agent(
        ToolCallPart("delete", {"file": "x"}, tool_call_id="c-1"),
        "done",
        output_type=[str, DeferredToolRequests],
    )
    deleted: list[str] = []

    def delete(ctx: RunContext[None], file: str) -> str:
        if by_itself and not ctx.tool_call_approved:
            raise ApprovalRequired
        deleted.append(file)
        return "deleted"

    wanted.tool(requires_approval=not by_itself)(delete)
    return wanted, deleted


@pytest.mark.parametrize("is_granted", [True, False], ids=["granted", "denied"])
@pytest.mark.parametrize("by_itself", [True, False], ids=["raised by the tool", "declared"])
def test_a_tool_that_needs_an_approval(
    is_granted: bool, by_itself: bool, audit: InMemoryAuditLogger
) -> None:
    """The first run waits with a request, the tool has not run; the next has the decision, and the tool if granted."""
    wanted, deleted = deleting(by_itself=by_itself)
    asked = wanted.run_sync("go")
    (run,) = check_runs(audit.events)
    assert run.end.data["stop_reason"] == "paused"
    request = audit.only("tool_approval_requested")
    assert (request.data["tool_name"], request.data["arguments"]) == ("delete", {"file": "x"})
    audit.assert_not_logged("tool_call_completed")
    audit.assert_not_logged("message_sent")
    audit.clear()

    decision: Any = True if is_granted else ToolDenied("not this one")
    wanted.run_sync(
        message_history=asked.all_messages(),
        deferred_tool_results=DeferredToolResults(approvals={"c-1": decision}),
    )
    (resumed,) = check_runs(audit.events)
    assert resumed.start.session_id == run.start.session_id
    assert resumed.end.data["stop_reason"] == "end_turn"
    if is_granted:
        audit.only("tool_approval_granted", data={"tool_call_id": "c-1"})
        audit.only("tool_call_completed", data={"tool_call_id": "c-1"})
    else:
        assert audit.only("tool_approval_denied").data["reason"] == "not this one"
        audit.assert_not_logged("tool_call_started")
    assert deleted == (["x"] if is_granted else [])


@pytest.mark.parametrize("is_broken", [False, True], ids=["to its end", "broken off"])
@pytest.mark.parametrize("way", ["events", "nodes"])
def test_a_stream(way: str, is_broken: bool, audit: InMemoryAuditLogger) -> None:
    """A stream that is read to its end completes; one that its reader leaves was cancelled."""
    streaming = Agent(TestModel(custom_output_text="a b c d"), name="bot")

    async def main() -> None:
        opened = streaming.run_stream_events("hi") if way == "events" else streaming.iter("hi")
        async with opened as stream:
            async for _ in stream:
                if is_broken:
                    break

    asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert run.end.type == ("run_cancelled" if is_broken else "run_completed")


def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Runs in parallel tasks have each their own tool, usage and session."""

    async def main() -> None:
        await asyncio.gather(
            *(searching("x").run("hi", conversation_id=f"c-{number}") for number in range(10))
        )

    asyncio.run(main())
    runs = check_runs(audit.events)
    assert {run.start.session_id for run in runs} == {f"c-{number}" for number in range(10)}
    assert all(run.types.count("tool_call_completed") == 1 for run in runs)


@pytest.mark.parametrize("is_failing", [False, True])
def test_the_application_sees_what_it_sees_without_us(is_failing: bool) -> None:
    """Results and errors are the same with us, without us, and where nothing can be recorded."""

    def application() -> Any:
        answer = ConnectionError("down") if is_failing else "it is x"
        return searching(answer).run_sync("where?").output

    with InMemoryAuditLogger() as audit:
        seen = check_same_outcome(application, lambda: install(audit))
        audit.fail_with(SpoolFullError("full"))
        undo = install(audit)
        assert outcome_of(application) == seen
        undo()
        assert audit.stats().unlogged_total > 0
    assert seen == (
        Outcome(error=ConnectionError, text="down") if is_failing else Outcome("it is x")
    )


def test_installed_twice_records_once_and_undone_nothing(audit: InMemoryAuditLogger) -> None:
    """A second `install` changes nothing, and what it returned takes us out."""
    undo = install(audit)
    searching("x").run_sync("hi")
    check_runs(audit.events)
    assert len([event for event in audit.events if event.type == "run_started"]) == 1
    undo()
    audit.clear()
    searching("x").run_sync("hi")
    assert audit.events == []
