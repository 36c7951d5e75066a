"""Microsoft's Agent Framework, by its own spans: `enable_instrumentation()` beside `install(audit)`.

Its spans cannot show: a session, unless the service gives one; a stream that its reader leaves, which ends as completed
when it is collected; arguments and messages, unless `enable_sensitive_data` is on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
    UsageDetails,
    WorkflowBuilder,
    observability,
    tool,
)

from capture_rules import Outcome, check_runs, check_same_outcome
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def instrumented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_instrumentation", True)
    monkeypatch.setattr(observability.OBSERVABILITY_SETTINGS, "enable_sensitive_data", True)


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    yield audit
    undo()


def waits(answer: Any) -> bool:
    return callable(answer)


class Scripted(
    FunctionInvocationLayer,
    ChatMiddlewareLayer,
    observability.ChatTelemetryLayer,
    BaseChatClient,
):
    """A client that gives these answers: content, an error, or a coroutine function that is awaited for ever."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.coming = iter(answers)

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **more: Any) -> Any:
        async def answer() -> ChatResponse:
            content: Any = next(self.coming)
            if isinstance(content, BaseException):
                raise content
            if waits(content):
                await content()
            return ChatResponse(
                messages=[Message("assistant", [content])],
                model="m-1",
                usage_details=UsageDetails(input_token_count=10, output_token_count=2),
            )

        return answer()


def text(said: str) -> Content:
    return Content.from_text(said)


def call(name: str, **arguments: Any) -> Content:
    return Content.from_function_call(call_id="c-1", name=name, arguments=arguments)


@tool(approval_mode="never_require")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a < 0:
        raise ValueError("negative")
    return a + b


def run(*answers: Any, tools: Any = None, name: str = "bot") -> Any:
    agent = Agent(client=Scripted(*answers), name=name, tools=tools)
    return asyncio.run(_text(agent))


async def _text(agent: Any) -> str:
    return str((await agent.run("hi")).text)


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """Agent, input, answer, tool, arguments, result and usage are recorded; the session is the trace's."""
    assert run(call("add", a=1, b=2), text("three"), tools=[add]) == "three"
    (recorded,) = check_runs(audit.events)
    assert recorded.types == [
        "run_started",
        "token_usage_updated",
        "tool_call_started",
        "tool_call_completed",
        "token_usage_updated",
        "message_received",
        "message_sent",
        "run_completed",
    ]
    assert recorded.start.agent_id == "bot"
    assert recorded.start.session_id == recorded.start.trace_id
    assert audit.only("tool_call_started").data["arguments"] == {"a": 1, "b": 2}
    assert audit.only("message_sent").data["content"] == "three"
    assert recorded.end.data["token_usage"] == {"input_tokens": 20, "output_tokens": 4}


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """A tool's error fails the call; the model is told, and the run goes on."""
    run(call("add", a=-1, b=2), text("no"), tools=[add])
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_completed"
    assert audit.only("tool_call_failed").data["error_code"] == "ValueError"


def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """A client's error fails the call and the run, and is the same without us."""
    with pytest.raises(ConnectionError):
        run(ConnectionError("down"))
    (recorded,) = check_runs(audit.events)
    assert (recorded.end.type, recorded.end.data["error_code"]) == ("run_failed", "ConnectionError")
    audit.only("model_call_failed")


def test_a_run_that_is_cancelled(audit: InMemoryAuditLogger) -> None:
    """A cancellation ends run and model call."""

    async def main() -> None:
        await asyncio.wait_for(_text(Agent(client=Scripted(asyncio.Event().wait), name="bot")), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_cancelled"


def test_a_tool_that_needs_an_approval(audit: InMemoryAuditLogger) -> None:
    """A run that ends with a request waits; the tool has not run."""

    @tool(approval_mode="always_require")
    def delete(file: str) -> str:
        """Delete a file."""
        raise AssertionError(file)

    run(call("delete", file="x"), tools=[delete])
    (recorded,) = check_runs(audit.events)
    assert recorded.end.data["stop_reason"] == "paused"
    assert audit.only("tool_approval_requested").data["arguments"] == {"file": "x"}
    audit.assert_not_logged("tool_call_started")


def test_agents_of_a_workflow(audit: InMemoryAuditLogger) -> None:
    """A workflow's first agent has the workflow's run, the others are its children, with their own usage."""

    async def main() -> None:
        first, second = (Agent(client=Scripted(text(name)), name=name) for name in ("a", "b"))
        await WorkflowBuilder(start_executor=first).add_edge(first, second).build().run("hi")

    asyncio.run(main())
    one, two = check_runs(audit.events)
    assert [one.start.agent_id, two.start.agent_id] == ["a", "b"]
    assert two.start.parent_run_id == one.run_id
    assert one.end.data["token_usage"] == two.end.data["token_usage"]


def test_the_application_sees_what_it_sees_without_us() -> None:
    """The result is the same with us and without."""
    with InMemoryAuditLogger() as audit:
        seen = check_same_outcome(
            lambda: run(call("add", a=1, b=2), text("three"), tools=[add]), lambda: install(audit)
        )
    assert seen == Outcome("three")
