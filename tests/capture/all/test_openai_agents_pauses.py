"""Runs of the OpenAI Agents SDK that wait for an approval: what is asked, what is decided, and in which run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from agents import (
    HostedMCPTool,
    RunConfig,
    RunState,
)
from agents.testing import ModelStep
from openai.types.responses.response_output_item import McpApprovalRequest

from capture_rules import check_runs
from openai_agents_scene import (
    agent,
    answer,
    both,
    calls,
    drop,
    of_type,
    run,
    shape,
    streamed,
    tokens,
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


@pytest.mark.parametrize("granted", [True, False], ids=["approved", "rejected"])
@pytest.mark.parametrize("decided_by", ["function", "resumption"])
@pytest.mark.usefixtures("installed")
def test_approvals_for_a_hosted_mcp_server(
    audit: InMemoryAuditLogger, granted: bool, decided_by: str
) -> None:
    """What an MCP server of the provider may do is asked for and decided once, by a function or by resuming the run."""
    request = McpApprovalRequest(
        id="ask-1", type="mcp_approval_request", server_label="s", name="wipe", arguments='{"all": true}'
    )  # fmt: skip
    decide: Any = (lambda _: {"approve": granted}) if decided_by == "function" else None
    server: Any = {"type": "mcp", "server_label": "s", "server_url": "http://127.0.0.1:1"}
    tool = HostedMCPTool(tool_config=server, on_approval_request=decide)
    bot = agent(ModelStep(output=[request], usage=tokens(1, 1)), answer("ok"), tools=[tool])

    async def application() -> None:
        result = await run(bot, "go")
        if decided_by == "resumption":
            state = result.to_state()
            (state.approve if granted else state.reject)(state.get_interruptions()[0])
            await run(bot, state)

    asyncio.run(application())

    runs = check_runs(audit.events)
    told = [each for told in runs for each in shape(told) if each.startswith("tool_")]
    decision = "tool_approval_granted" if granted else "tool_approval_denied"
    assert told == ["tool_approval_requested", decision]
    assert of_type(runs[0], "tool_approval_requested")[0] == {
        "tool_name": "wipe",
        "tool_call_id": "ask-1",
        "approval_id": "ask-1",
        "arguments": {"all": True},
        "policy_name": "needs_approval",
    }


@pytest.mark.usefixtures("installed")
def test_a_resumed_run_that_fails_tells_no_call_of_the_run_before(
    audit: InMemoryAuditLogger,
) -> None:
    """The state that a run is resumed from brings its old answers; what they used is the first run's alone."""

    async def application() -> None:
        fails = ModelStep.raise_error(ConnectionError("no"))
        bot = agent(calls(("drop", {"table": "t"})), fails, tools=[drop])
        state = (await run(bot, "go", is_streamed=True)).to_state()
        state.approve(state.get_interruptions()[0])
        with pytest.raises(ConnectionError):
            await run(bot, state, is_streamed=True)

    asyncio.run(application())

    first, second = check_runs(audit.events)
    assert len(of_type(first, "token_usage_updated")) == 1
    assert not of_type(second, "token_usage_updated")
    assert len(of_type(second, "model_call_failed")) == 1
