"""LlamaIndex, by OpenInference's instrumentation beside `install(audit)`.

Its spans cannot show: an agent's name but its class, a session, a tool before it ends, a pause for a human, and a run
that was cancelled by its own handle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import TextBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from workflows.errors import WorkflowTimeoutError

from capture_rules import check_runs
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    LlamaIndexInstrumentor().instrument()
    yield audit
    LlamaIndexInstrumentor().uninstrument()
    undo()


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def refuse() -> str:
    """Refuse."""
    raise LookupError("no")


async def ask(*answers: Any, tools: Any = (add, refuse), limit_seconds: float | None = None) -> str:
    coming = iter(answers)

    def answer(_messages: Any, **more: Any) -> ChatMessage:
        block = next(coming)
        if isinstance(block, BaseException):
            raise block
        return ChatMessage(role="assistant", blocks=[block])

    llm = MockFunctionCallingLLM(response_generator=answer)
    agent = FunctionAgent(
        name="bot",
        description="a bot",
        tools=list(tools),
        llm=llm,
        streaming=False,
        timeout=limit_seconds,
    )
    return str(await agent.run("hi"))


async def stream(*answers: Any, is_left: bool = False) -> str:
    coming = iter(answers)

    def answer(_messages: Any, **more: Any) -> ChatMessage:
        block = next(coming)
        if isinstance(block, BaseException):
            raise block
        return ChatMessage(role="assistant", blocks=[block])

    llm = MockFunctionCallingLLM(response_generator=answer)
    handler = FunctionAgent(name="bot", description="a bot", tools=[add], llm=llm).run("hi")
    async for _ in handler.stream_events():
        if is_left:
            break
    return str(await handler)


def test_a_stream(audit: InMemoryAuditLogger) -> None:
    """A run whose events are streamed is a run as any; each model call that streams is one."""
    call = ToolCallBlock(tool_call_id="c-1", tool_name="add", tool_kwargs={"a": 1, "b": 2})
    assert asyncio.run(stream(call, TextBlock(text="three"))) == "three"
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_completed"
    assert recorded.types.count("tool_call_completed") == 1
    assert recorded.types.count("token_usage_updated") == 2


def test_a_stream_of_events_that_is_left(audit: InMemoryAuditLogger) -> None:
    """Its events are beside the run: a reader that leaves them lets it go on, and it ends as it ends."""
    assert asyncio.run(stream(TextBlock(text="three"), is_left=True)) == "three"
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_completed"


def test_a_stream_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error in a streamed call fails the call and the run."""
    with pytest.raises(ConnectionError):
        asyncio.run(stream(ConnectionError("down")))
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_failed"
    audit.only("model_call_failed")


def run(*answers: Any) -> str:
    return asyncio.run(ask(*answers))


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """A run, its tool with arguments, and each model call once, whose missing usage is said."""
    call = ToolCallBlock(tool_call_id="c-1", tool_name="add", tool_kwargs={"a": 1, "b": 2})
    assert run(call, TextBlock(text="three")) == "three"
    (recorded,) = check_runs(audit.events)
    assert recorded.start.agent_id == "FunctionAgent"
    assert recorded.types.count("token_usage_updated") == 2
    called = audit.only("tool_call_started")
    assert (called.data["tool_name"], called.data["arguments"]) == ("add", {"a": 1, "b": 2})
    assert (recorded.end.type, recorded.end.data["token_usage"]) == (
        "run_completed",
        {"usage_missing": True},
    )


def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """A model's error fails the call, once, and the run."""
    with pytest.raises(ConnectionError):
        run(ConnectionError("down"))
    (recorded,) = check_runs(audit.events)
    assert (recorded.end.type, recorded.end.data["error_code"]) == ("run_failed", "ConnectionError")
    audit.only("model_call_failed")


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """The agent answers its model in the tool's place: the tool was called once, and the run goes on."""
    call = ToolCallBlock(tool_call_id="c-1", tool_name="refuse", tool_kwargs={})
    assert run(call, TextBlock(text="none")) == "none"
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_completed"
    assert recorded.types.count("tool_call_started") == 1
    assert recorded.types.count("tool_call_failed") == 1


def test_an_agent_within_a_tool_is_a_child(audit: InMemoryAuditLogger) -> None:
    """An agent that another's tool runs is a run of its own, with its own model calls, in the same session."""

    async def expert(question: str) -> str:
        """Ask an expert."""
        return await ask(TextBlock(text="inner"))

    async def application() -> str:
        call = ToolCallBlock(tool_call_id="c-1", tool_name="expert", tool_kwargs={"question": "q"})
        return await ask(call, TextBlock(text="outer"), tools=[expert])

    assert asyncio.run(application()) == "outer"
    outer, inner = check_runs(audit.events)
    assert inner.start.parent_run_id == outer.run_id
    assert [run.types.count("token_usage_updated") for run in (outer, inner)] == [2, 1]
    assert [run.end.type for run in (outer, inner)] == ["run_completed"] * 2


def test_a_workflow_that_takes_too_long(audit: InMemoryAuditLogger) -> None:
    """An agent's own time limit is a timeout of its run."""

    async def sleep() -> str:
        """Sleep."""
        await asyncio.Event().wait()
        return ""

    call = ToolCallBlock(tool_call_id="c-1", tool_name="sleep", tool_kwargs={})
    with pytest.raises(WorkflowTimeoutError):
        asyncio.run(ask(call, tools=[sleep], limit_seconds=0.5))
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_timeout"


def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Each keeps its own tool, in a session of its own."""

    async def application() -> list[str]:
        calls = [
            ToolCallBlock(tool_call_id=f"c-{n}", tool_name="add", tool_kwargs={"a": n, "b": 2})
            for n in range(3)
        ]
        return await asyncio.gather(
            *(ask(call, TextBlock(text=str(n))) for n, call in enumerate(calls))
        )

    assert asyncio.run(application()) == ["0", "1", "2"]
    recorded = check_runs(audit.events)
    assert [each.types.count("tool_call_completed") for each in recorded] == [1, 1, 1]
    assert len({each.start.session_id for each in recorded}) == 3
