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


def run(*answers: Any) -> str:
    coming = iter(answers)

    def answer(_messages: Any, **more: Any) -> ChatMessage:
        block = next(coming)
        if isinstance(block, BaseException):
            raise block
        return ChatMessage(role="assistant", blocks=[block])

    async def main() -> str:
        llm = MockFunctionCallingLLM(response_generator=answer)
        agent = FunctionAgent(
            name="bot", description="a bot", tools=[add], llm=llm, streaming=False
        )
        return str(await agent.run("hi"))

    return asyncio.run(main())


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
