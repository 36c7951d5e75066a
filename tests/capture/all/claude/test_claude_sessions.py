"""Claude's sessions and what is within them: clients, subagents, resumed sessions, runs in tools."""

import asyncio
from typing import Any

import claude_agent_sdk
import pytest
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeAgentOptions,
)
from opentelemetry import trace
from tests.capture.all.claude.scene import only_run, read

from capture_rules import check_runs
from trailhouse.capture import otel
from trailhouse.capture.claude_agent import ClaudeAudit
from trailhouse.producer.testing import InMemoryAuditLogger


async def test_each_turn_of_a_client_is_a_run_with_its_own_usage(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Two turns of one client are two runs of one session, though the result's cost and models count on."""
    async with ClaudeAudit(audit).client(options) as client:
        for prompt in ("hello", "call a tool"):
            await client.query(prompt)
            last = (await read(client.receive_response()))[-1]

    first, second = check_runs(audit.events)
    assert first.start.session_id == second.start.session_id
    assert first.end.data["token_usage"]["input_tokens"] == 210
    assert second.end.data["token_usage"]["input_tokens"] == 335
    costs = [float(run.end.data["cost_usd"]) for run in (first, second)]
    assert sum(costs) == pytest.approx(last.total_cost_usd)


async def test_a_subagent_is_a_child_run(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A subagent has a run of its own under the turn's, with its tools and what it used."""
    options.agents = {"helper": AgentDefinition(description="d", prompt="help", tools=["Bash"])}
    options.allowed_tools = ["Bash", "Agent"]
    await read(ClaudeAudit(audit).query(prompt="use a helper", options=options))

    parent, child = check_runs(audit.events)[:2]
    assert (child.start.parent_run_id, child.start.agent_id) == (parent.run_id, "helper")
    assert (
        audit.only("tool_call_started", data={"tool_call_id": "toolu_sub"}).run_id == child.run_id
    )
    assert child.end.type == "run_completed"
    assert child.end.data["token_usage"]["output_tokens"] == 5 + 7
    assert parent.end.data["token_usage"]["output_tokens"] == 5 + 7


async def test_runs_side_by_side_do_not_mix(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Three queries at once are three runs in three sessions."""
    claude = ClaudeAudit(audit)
    await asyncio.gather(
        *(read(claude.query(prompt="call a tool", options=options)) for _ in range(3))
    )
    runs = check_runs(audit.events)
    assert len({run.start.session_id for run in runs}) == len(runs) == 3
    assert all(run.types.count("tool_call_completed") == 1 for run in runs)


async def test_a_query_within_a_run_is_its_child(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A query within a run of ours is its child and in its session; the command line's own is kept."""
    with audit.run("s-1", agent_id="outer") as outer:
        await read(ClaudeAudit(audit).query(prompt="hello", options=options))
    _, child = check_runs(audit.events)
    assert (child.start.session_id, child.start.parent_run_id) == ("s-1", outer.id)


async def test_a_session_that_goes_on_costs_what_is_new(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The command line counts on in a session that is resumed, and the run's cost and usage are what it added."""
    claude = ClaudeAudit(audit)
    first = (await read(claude.query(prompt="hello", options=options)))[-1]
    options.resume = first.session_id
    last = (await read(claude.query(prompt="hello", options=options)))[-1]

    runs = check_runs(audit.events)
    assert last.total_cost_usd == pytest.approx(2 * first.total_cost_usd)
    assert [float(run.end.data["cost_usd"]) for run in runs] == [first.total_cost_usd] * 2
    assert [run.types.count("token_usage_updated") for run in runs] == [1, 1]


async def test_a_cost_that_is_counted_on_from_elsewhere_is_unknown(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A session that was begun elsewhere has its turn's tokens, and no cost that somebody else spent."""
    first = (await read(claude_agent_sdk.query(prompt="hello", options=options)))[-1]
    options.resume = first.session_id
    await read(ClaudeAudit(audit).query(prompt="hello", options=options))

    run = only_run(audit)
    assert run.end.data["token_usage"]["input_tokens"] == 210
    assert "cost_usd" not in run.end.data


@pytest.mark.parametrize("is_client", [False, True])
async def test_what_a_tool_of_ours_runs_is_a_child_of_its_turn(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, *, is_client: bool
) -> None:
    """A run within an in-process tool is a child of the turn that called it, in each turn of a client too."""

    @claude_agent_sdk.tool("look", "look it up", {"key": str})
    async def look(arguments: dict[str, Any]) -> dict[str, Any]:
        with audit.run(agent_id="inner"):
            return {"content": [{"type": "text", "text": arguments["key"]}]}

    options.mcp_servers = {"ours": claude_agent_sdk.create_sdk_mcp_server("ours", tools=[look])}
    options.allowed_tools = ["mcp__ours__look"]
    claude = ClaudeAudit(audit)
    if is_client:
        async with claude.client(options) as client:
            for prompt in ("look it up", "look it up again"):
                await client.query(prompt)
                await read(client.receive_response())
    else:
        await read(claude.query(prompt="look it up", options=options))

    runs = check_runs(audit.events)
    outer = [run for run in runs if run.start.agent_id == "claude-code"]
    inner = [run for run in runs if run.start.agent_id == "inner"]
    assert len(outer) == 1 + is_client
    assert [run.start.parent_run_id for run in inner] == [run.run_id for run in outer]


async def test_a_client_used_within_a_run_is_its_child(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A turn has the run and the session that are bound where its prompt is sent, not where the client connected."""
    async with ClaudeAudit(audit).client(options) as client:
        with audit.run("s-1", agent_id="outer") as outer:
            await client.query("hello")
            await read(client.receive_response())
    _, turn = check_runs(audit.events)
    assert (turn.start.session_id, turn.start.parent_run_id) == ("s-1", outer.id)


@pytest.mark.parametrize("is_client", [False, True])
async def test_a_tool_of_ours_is_one_call_where_spans_tell_of_it_too(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, *, is_client: bool
) -> None:
    """An in-process tool, of which MCP's own spans tell by its short name, is recorded once."""

    @claude_agent_sdk.tool("look", "look it up", {"key": str})
    async def look(arguments: dict[str, Any]) -> dict[str, Any]:
        spans.append(trace.get_current_span().is_recording())
        return {"content": [{"type": "text", "text": arguments["key"]}]}

    spans: list[bool] = []
    options.mcp_servers = {"ours": claude_agent_sdk.create_sdk_mcp_server("ours", tools=[look])}
    options.allowed_tools = ["mcp__ours__look"]
    undo = otel.install(audit)
    try:
        if is_client:
            async with ClaudeAudit(audit).client(options) as client:
                await client.query("look it up")
                await read(client.receive_response())
        else:
            await read(ClaudeAudit(audit).query(prompt="look it up", options=options))
    finally:
        undo()
    assert spans == [True]
    assert check_runs(audit.events)
    audit.only("tool_call_started")
    audit.only("tool_call_completed")
