"""MCP, by the spans that its SDK makes itself: client and server in one process tell of one call.

Its spans cannot show: a tool's arguments and result, who calls it where the client is another process, and an approval.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client, ClientSession, MCPError
from mcp.server import MCPServer
from opentelemetry import trace

from agent_spans import AGENT, TOOL
from capture_rules import check_runs
from trailhouse.capture.otel import install
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture
def audit(audit: InMemoryAuditLogger) -> Iterator[InMemoryAuditLogger]:
    undo = install(audit)
    yield audit
    undo()


@asynccontextmanager
async def connected() -> AsyncGenerator[ClientSession]:
    """Yield a client of a server in this process, over streams in memory."""
    server = MCPServer("tools")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    def broken() -> int:
        raise ValueError("no")

    @server.tool()
    async def slow() -> int:
        await anyio.sleep_forever()
        return 1

    async with Client(server) as client:
        yield client.session


async def call(tool: str, arguments: dict[str, Any] | None = None) -> Any:
    async with connected() as session:
        return await session.call_tool(tool, arguments or {})


def tool_events(audit: InMemoryAuditLogger) -> list[tuple[str, str]]:
    return [
        (str(event.type), event.data["tool_name"])
        for event in audit.events
        if "tool_name" in event.data
    ]


def test_one_event_for_client_and_server(audit: InMemoryAuditLogger) -> None:
    """A call within a run of plain Python is recorded once, in that run."""

    async def main() -> None:
        async with audit.run("s-1", agent_id="bot"):
            await call("add", {"a": 1, "b": 2})

    asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert run.types == ["run_started", "tool_call_started", "tool_call_completed", "run_completed"]
    assert tool_events(audit) == [("tool_call_started", "add"), ("tool_call_completed", "add")]


def test_one_event_for_agent_client_and_server(audit: InMemoryAuditLogger) -> None:
    """A call within an agent's own tool span is that tool's."""

    async def main() -> None:
        tracer = trace.get_tracer("an.agent")
        tool = {**TOOL, "gen_ai.tool.name": "tools__add", "gen_ai.tool.call.id": "c-1"}
        async with connected() as session:
            with (
                tracer.start_as_current_span("invoke_agent", attributes=AGENT),
                tracer.start_as_current_span("execute_tool", attributes=tool),
            ):
                await session.call_tool("add", {"a": 1, "b": 2})

    asyncio.run(main())
    check_runs(audit.events)
    assert audit.only("tool_call_started").data["tool_call_id"] == "c-1"


@pytest.mark.parametrize("tool", ["broken", "unknown"])
def test_a_tool_that_fails(tool: str, audit: InMemoryAuditLogger) -> None:
    """An error that the server answers with fails the call, though the client's own span does not tell of it."""

    async def main() -> None:
        async with audit.run("s-1"):
            assert (await call(tool)).is_error

    asyncio.run(main())
    check_runs(audit.events)
    assert audit.only("tool_call_failed").data["error_code"] == "tool_error"


@pytest.mark.parametrize("by", ["a task that is cancelled", "a time limit"])
def test_a_call_that_is_cancelled(by: str, audit: InMemoryAuditLogger) -> None:
    """A call whose caller gives up has an end, and its run ends as what made it give up."""

    async def work() -> None:
        async with audit.run("s-1"):
            await (asyncio.wait_for(call("slow"), 0.1) if by == "a time limit" else call("slow"))

    async def application() -> None:
        task = asyncio.create_task(work())
        if by != "a time limit":
            while not tool_events(audit):  # noqa: ASYNC110 - the log has nothing to wait for
                await asyncio.sleep(0.005)
            task.cancel()
        await task

    with pytest.raises(TimeoutError if by == "a time limit" else asyncio.CancelledError):
        asyncio.run(application())
    (run,) = check_runs(audit.events)
    assert run.end.type == ("run_timeout" if by == "a time limit" else "run_cancelled")
    assert audit.only("tool_call_failed").data["tool_name"] == "slow"


def test_a_call_that_the_client_gives_up(audit: InMemoryAuditLogger) -> None:
    """The client's own time limit fails the call, and the run that its error goes through."""

    async def main() -> None:
        async with connected() as session:
            with pytest.raises(MCPError, match="imed out"):
                async with audit.run("s-1"):
                    await session.call_tool("slow", {}, read_timeout_seconds=0.1)

    asyncio.run(main())
    (run,) = check_runs(audit.events)
    assert (run.end.type, run.end.data["error_code"]) == ("run_failed", "MCPError")
    assert audit.only("tool_call_failed").data["tool_name"] == "slow"


def test_a_call_of_nobodys_run(audit: InMemoryAuditLogger) -> None:
    """A server that nobody's run calls records its tools in the session of the trace; other requests are no tools."""
    asyncio.run(call("add", {"a": 1, "b": 2}))
    assert tool_events(audit) == [("tool_call_started", "add"), ("tool_call_completed", "add")]
    assert {event.run_id for event in audit.events} == {None}
    assert {event.session_id for event in audit.events} == {audit.events[0].trace_id}
