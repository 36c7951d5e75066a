"""AutoGen (AgentChat), by its own spans: nothing but `install(audit)`.

Its spans cannot show: model calls and what they used, a session, a tool's arguments and result, what is asked and
answered, and which agents are a team: each agent of a team has a trace, and so a session, of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    ModelFamily,
    ModelInfo,
    RequestUsage,
)

from capture_rules import check_runs
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    yield audit
    undo()


class Scripted(ChatCompletionClient):
    """A client that says these texts, calls these tools, or raises."""

    def __init__(self, *answers: Any) -> None:
        self.coming = iter(answers)

    async def create(self, messages: Any, **more: Any) -> CreateResult:
        answer = next(self.coming)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            await answer()
        return CreateResult(
            content=answer,
            usage=RequestUsage(prompt_tokens=10, completion_tokens=2),
            finish_reason="stop" if isinstance(answer, str) else "function_calls",
            cached=False,
        )

    async def create_stream(self, messages: Any, **more: Any) -> AsyncGenerator[Any]:
        made = await self.create(messages, **more)
        if isinstance(made.content, str):
            for word in made.content.split():
                yield word
        yield made

    async def close(self) -> None: ...

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(0, 0)

    def total_usage(self) -> RequestUsage:
        return RequestUsage(0, 0)

    def count_tokens(self, *args: Any, **more: Any) -> int:
        return 1

    def remaining_tokens(self, *args: Any, **more: Any) -> int:
        return 1

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=False, family=ModelFamily.UNKNOWN, structured_output=False
        )  # fmt: skip


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def run(*answers: Any) -> str:
    agent = AssistantAgent(
        "bot", model_client=Scripted(*answers), tools=[add], reflect_on_tool_use=True
    )
    return str((await agent.run(task="hi")).messages[-1].to_text())


async def stream(*answers: Any, leaves_after: int | None = None) -> list[str]:
    agent = AssistantAgent(
        "bot",
        model_client=Scripted(*answers),
        tools=[add],
        reflect_on_tool_use=True,
        model_client_stream=True,
    )
    seen: list[str] = []
    pieces = agent.run_stream(task="hi")
    async for piece in pieces:
        seen.append(type(piece).__name__)
        if len(seen) == leaves_after:
            break
    await pieces.aclose()
    return seen


def test_a_stream(audit: InMemoryAuditLogger) -> None:
    """A stream that is read to its end is a run as any."""
    call = FunctionCall(id="c-1", name="add", arguments='{"a": 1, "b": 2}')
    assert asyncio.run(stream([call], "it is three"))[-1] == "TaskResult"
    (recorded,) = check_runs(audit.events)
    assert recorded.types == [
        "run_started",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]


def test_a_stream_that_is_left(audit: InMemoryAuditLogger) -> None:
    """A reader that leaves cancels the run, and sees nothing of it."""
    assert len(asyncio.run(stream("it is three", leaves_after=2))) == 2
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_cancelled"


def test_a_stream_that_fails(audit: InMemoryAuditLogger) -> None:
    """A client's error on the way fails the run."""
    with pytest.raises(ConnectionError):
        asyncio.run(stream(ConnectionError("down")))
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_failed"


def test_a_run_with_a_tool(audit: InMemoryAuditLogger) -> None:
    """The agent's creation, its run and its tool are recorded."""
    call = FunctionCall(id="c-1", name="add", arguments='{"a": 1, "b": 2}')
    assert asyncio.run(run([call], "three")) == "three"
    (recorded,) = check_runs(audit.events)
    assert recorded.types == [
        "run_started",
        "tool_call_started",
        "tool_call_completed",
        "run_completed",
    ]
    assert recorded.start.agent_id == audit.only("agent_created").data["agent_name"] == "bot"
    assert audit.only("tool_call_started").data["tool_call_id"] == "c-1"


def test_a_model_that_fails(audit: InMemoryAuditLogger) -> None:
    """A client's error fails the run, and reaches the application."""
    with pytest.raises(ConnectionError):
        asyncio.run(run(ConnectionError("down")))
    (recorded,) = check_runs(audit.events)
    assert (recorded.end.type, recorded.end.data["error_code"]) == ("run_failed", "ConnectionError")


@pytest.mark.parametrize("by", ["a task that is cancelled", "a time limit"])
def test_a_run_that_is_cancelled(by: str, audit: InMemoryAuditLogger) -> None:
    """It ends as cancelled, by a time limit around it too, and the application sees what it sees without us."""

    async def application() -> None:
        task = asyncio.create_task(run(asyncio.Event().wait))
        if by == "a time limit":
            await asyncio.wait_for(task, 0.1)
        await asyncio.sleep(0.1)
        task.cancel()
        await task

    raised = TimeoutError if by == "a time limit" else asyncio.CancelledError
    with pytest.raises(raised):
        asyncio.run(application())
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_cancelled"


def test_a_tool_that_raises(audit: InMemoryAuditLogger) -> None:
    """AutoGen answers its model in the tool's place: the tool has failed, and the run goes on."""
    call = FunctionCall(id="c-1", name="add", arguments='{"a": "one"}')
    assert asyncio.run(run([call], "sorry")) == "sorry"
    (recorded,) = check_runs(audit.events)
    assert recorded.end.type == "run_completed"
    assert recorded.types.count("tool_call_started") == 1


def test_runs_side_by_side(audit: InMemoryAuditLogger) -> None:
    """Each keeps its own tools."""

    async def application() -> list[str]:
        calls = [
            FunctionCall(id=f"c-{n}", name="add", arguments=f'{{"a": {n}, "b": 2}}')
            for n in range(3)
        ]
        return await asyncio.gather(*(run([call], call.id) for call in calls))

    assert asyncio.run(application()) == ["c-0", "c-1", "c-2"]
    recorded = check_runs(audit.events)
    assert [each.types.count("tool_call_completed") for each in recorded] == [1, 1, 1]
    assert len({each.start.session_id for each in recorded}) == 3
