"""Claude Agent SDK, with its own command line and a scripted model: what its agents do is recorded as it happened."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import claude_agent_sdk
import pytest
from claude_agent_sdk import (
    AgentDefinition,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
)

from capture_rules import Recorded, check_runs
from scripted_claude import ScriptedClaude, Turn, last_prompt, scripted_claude
from trailhouse.capture.claude_agent import ClaudeAudit, install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError

TOUCH = ("toolu_1", "Bash", {"command": "touch made; echo hi", "description": "make a file"})
ANSWER = Turn("done", tokens=(20, 7, 100, 5))


def script(body: dict[str, Any]) -> Turn:
    prompt = last_prompt(body)
    tools = [tool["name"] for tool in body.get("tools", [])]
    if "tool_result" in prompt:
        return ANSWER
    if "refused by the provider" in prompt:
        return Turn(error=(400, "no such thing"))
    if "use a helper" in prompt and "Agent" in tools:
        asked = {
            "description": "d",
            "prompt": "work",
            "subagent_type": "helper",
            "run_in_background": False,
        }
        return Turn(tools=(("toolu_agent", "Agent", asked),))
    if prompt.strip() == "work":
        return Turn(tools=(("toolu_sub", "Bash", {"command": "echo sub", "description": "x"}),))
    if "call a tool" in prompt:
        return Turn("let me", tools=(TOUCH,), tokens=(10, 5, 0, 200))
    if "look it up" in prompt:
        return Turn(tools=(("toolu_look", "mcp__ours__look", {"key": "k"}),))
    if "fail a tool" in prompt:
        return Turn(tools=(("toolu_1", "Bash", {"command": "echo no; false", "description": "x"}),))
    return Turn("hello", tokens=(10, 5, 0, 200))


@pytest.fixture
def model() -> Iterator[ScriptedClaude]:
    with scripted_claude(script) as server:
        yield server


@pytest.fixture
def options(model: ScriptedClaude, tmp_path: Path) -> ClaudeAgentOptions:
    home = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path / "claude")}
    return ClaudeAgentOptions(
        env=model.environment | home, cwd=tmp_path, setting_sources=[], allowed_tools=["Bash"]
    )


async def read(stream: AsyncIterator[Any]) -> list[Any]:
    return [message async for message in stream]


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = check_runs(audit.events)
    return run


async def test_a_query_is_a_run(audit: InMemoryAuditLogger, options: ClaudeAgentOptions) -> None:
    """A query's prompt, tool, answer, usage and end are one run in the session of the command line."""
    messages = await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))

    run = only_run(audit)
    assert run.types == [
        "run_started",
        "message_received",
        "tool_call_started",
        "tool_call_completed",
        "token_usage_updated",
        "message_sent",
        "run_completed",
    ]
    assert run.start.session_id == messages[-1].session_id
    assert run.start.agent_id == "claude-code"
    asked, _, done = run.events[1], run.events[2], run.events[3]
    assert asked.data["content"] == "call a tool"
    assert (done.data["tool_call_id"], done.data["result"]["stdout"]) == ("toolu_1", "hi")
    assert run.events[5].data["content"] == "done"


async def test_usage_is_what_the_model_said(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The input has what was read from and written into the cache, and the cost is the result's."""
    messages = await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))

    end = only_run(audit).end
    assert end.data["token_usage"] == {
        "input_tokens": 10 + 20 + 100 + 205,
        "output_tokens": 5 + 7,
        "cache_read_tokens": 100,
        "cache_write_tokens": 205,
        "reasoning_tokens": 0,
    }
    assert float(end.data["cost_usd"]) == pytest.approx(messages[-1].total_cost_usd)
    assert audit.only("token_usage_updated").provider == "anthropic"


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


@pytest.mark.parametrize(
    ("prompt", "limit", "code"),
    [("refused by the provider", None, "api_error"), ("call a tool", 1, "error_max_turns")],
)
async def test_an_error_result_is_a_failure(
    audit: InMemoryAuditLogger,
    options: ClaudeAgentOptions,
    prompt: str,
    limit: int | None,
    code: str,
) -> None:
    """A result that is an error ends its run as failed, though its subtype may be "success"."""
    options.max_turns = limit
    with pytest.raises(claude_agent_sdk.ClaudeSDKError):
        await read(ClaudeAudit(audit).query(prompt=prompt, options=options))

    end = only_run(audit).end
    assert (end.type, end.data["error_code"]) == ("run_failed", code)


async def test_a_tool_that_fails_has_failed(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A tool that fails has a failure of its own, and its run goes on."""
    await read(ClaudeAudit(audit).query(prompt="fail a tool", options=options))

    run = only_run(audit)
    assert "tool_call_failed" in run.types
    assert run.end.type == "run_completed"


@pytest.mark.parametrize("is_granted", [True, False])
async def test_a_permission_is_asked_and_decided(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, *, is_granted: bool
) -> None:
    """What `can_use_tool` is asked and answers is an approval; a tool that is denied has no answer."""
    options.allowed_tools = []

    async def decide(*_: Any) -> PermissionResultAllow | PermissionResultDeny:
        return PermissionResultAllow() if is_granted else PermissionResultDeny(message="not today")

    options.can_use_tool = decide
    await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))

    run = only_run(audit)
    asked = audit.only("tool_approval_requested")
    decided = audit.only("tool_approval_granted" if is_granted else "tool_approval_denied")
    assert asked.data["approval_id"] == decided.data["approval_id"] == "toolu_1"
    if is_granted:
        assert "tool_call_completed" in run.types
    else:
        assert "tool_call_completed" not in run.types
        assert audit.only("tool_call_failed").data["error_code"] == "permission_denied"
        assert decided.data["reason"] == "not today"


async def test_a_tool_that_nobody_may_allow_is_denied(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A tool that would need a permission, with nobody to ask, is asked for and denied, and has no answer."""
    options.allowed_tools = []
    await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))

    run = only_run(audit)
    assert "tool_call_completed" not in run.types
    assert audit.only("tool_approval_denied").data["tool_call_id"] == "toolu_1"


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


async def test_a_stream_that_is_broken_off_is_cancelled(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A reader that stops before the result cancels the run, and what was used is unknown."""
    stream = ClaudeAudit(audit).query(prompt="call a tool", options=options)
    async for message in stream:
        if type(message).__name__ == "AssistantMessage":
            break
    await stream.aclose()  # type: ignore[attr-defined]

    run = only_run(audit)
    assert run.end.type == "run_cancelled"
    assert audit.only("token_usage_updated").data["usage_missing"] is True


async def test_a_cancelled_task_cancels_its_run(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, model: ScriptedClaude
) -> None:
    """A task that is cancelled while the model answers leaves a cancelled run."""
    model.hold()
    task = asyncio.create_task(read(ClaudeAudit(audit).query(prompt="hello", options=options)))
    assert await asyncio.to_thread(model.asked.wait, 20)
    task.cancel()
    model.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only_run(audit).end.type == "run_cancelled"


async def test_an_interrupt_cancels_the_turn(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, model: ScriptedClaude
) -> None:
    """A turn that the client interrupts is cancelled, and the next one is a run of its own."""
    async with ClaudeAudit(audit).client(options) as client:
        model.hold()
        await client.query("hello")
        assert await asyncio.to_thread(model.asked.wait, 20)
        await client.interrupt()
        await read(client.receive_response())
        model.goes_on.set()
        await client.query("hello again")
        await read(client.receive_response())

    assert [run.end.type for run in check_runs(audit.events)] == ["run_cancelled", "run_completed"]


async def test_a_time_limit_within_a_client_is_a_timeout(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, model: ScriptedClaude
) -> None:
    """A time limit that passes while the client's answer is awaited ends the run as timed out."""
    model.hold()

    async def converse() -> None:
        async with ClaudeAudit(audit).client(options) as client:
            await client.query("hello")
            assert await asyncio.to_thread(model.asked.wait, 20)
            async with asyncio.timeout(0.05):
                await read(client.receive_response())

    with pytest.raises(TimeoutError):
        await converse()
    assert only_run(audit).end.type == "run_timeout"


async def test_a_command_line_that_is_missing_is_a_failed_run(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A query that cannot begin is a run that failed, and the SDK's error goes on."""
    options.cli_path = "/nowhere/claude"
    with pytest.raises(claude_agent_sdk.CLINotFoundError):
        await read(ClaudeAudit(audit).query(prompt="hello", options=options))
    assert only_run(audit).end.data["error_code"] == "CLINotFoundError"


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


async def test_the_users_hooks_stay(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Our hooks are beside the user's, and the user's options stay as they are."""
    seen: list[str] = []

    async def hook(told: Any, *_: Any) -> dict[str, Any]:
        seen.append(told["hook_event_name"])
        return {}

    options.hooks = {"PreToolUse": [HookMatcher(hooks=[hook])]}
    await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))
    assert seen == ["PreToolUse"]
    assert list(options.hooks) == ["PreToolUse"]
    assert len(options.hooks["PreToolUse"]) == 1
    assert only_run(audit).types.count("tool_call_started") == 1


async def test_options_alone_record_what_hooks_see(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Options with our hooks, given to the SDK's own query, make a run that says its usage is missing."""
    await read(
        claude_agent_sdk.query(prompt="call a tool", options=ClaudeAudit(audit).options(options))
    )
    run = only_run(audit)
    assert run.types.count("tool_call_completed") == 1
    assert run.end.data["token_usage"] == {"usage_missing": True}


async def test_installed_every_query_and_client_is_recorded_once(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Installed twice, and used through `ClaudeAudit` as well, each turn is one run; undone, it is none."""
    claude = ClaudeAudit(audit)
    undo, _ = install(audit), install(audit)
    try:
        await read(claude_agent_sdk.query(prompt="call a tool", options=options))
        await read(claude_agent_sdk.query(prompt="call a tool", options=claude.options(options)))
        await read(claude.query(prompt="call a tool", options=options))
        for client in (ClaudeSDKClient(options), claude.client(options)):
            async with client:
                await client.query("call a tool")
                await read(client.receive_response())
    finally:
        undo()
    runs = check_runs(audit.events)
    assert [run.types.count("token_usage_updated") for run in runs] == [1] * 5
    assert [run.types.count("tool_call_started") for run in runs] == [1] * 5
    await read(claude_agent_sdk.query(prompt="hello", options=options))
    assert len(check_runs(audit.events)) == 5


async def test_a_full_spool_changes_nothing(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The agent's answer is the same where nothing can be recorded, and each loss is counted."""
    audit.fail_with(SpoolFullError("full"))
    messages = await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))
    assert messages[-1].result == "done"
    assert audit.stats().unlogged_total > 0


async def test_strict_no_tool_runs_unrecorded(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, tmp_path: Path
) -> None:
    """A fail-closed audit that cannot record lets no tool run."""
    audit.fail_with(SpoolFullError("full"))
    claude = ClaudeAudit(audit, strict=True)
    with pytest.raises(SpoolFullError):
        await read(claude.query(prompt="call a tool", options=options))
    await read(claude_agent_sdk.query(prompt="call a tool", options=claude.options(options)))
    assert not (tmp_path / "made").exists()


async def test_the_application_sees_what_it_sees_without_us(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The kinds of messages and the result are the same with us and without."""

    async def seen(stream: AsyncIterator[Any]) -> list[object]:
        messages = await read(stream)
        result = messages[-1]
        assert isinstance(result, ResultMessage)
        return [*(type(each) for each in messages), result.result, result.usage, result.num_turns]

    without = await seen(claude_agent_sdk.query(prompt="call a tool", options=options))
    assert without == await seen(ClaudeAudit(audit).query(prompt="call a tool", options=options))


async def deferred_once(claude: ClaudeAudit, options: ClaudeAgentOptions) -> ResultMessage:
    """Run a prompt whose tool a hook defers, and have the hook allow it from then on."""
    decisions = ["defer"]

    async def decide(*_: Any) -> dict[str, Any]:
        decision = decisions.pop() if decisions else "allow"
        return {
            "hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": decision}
        }

    options.hooks = {"PreToolUse": [HookMatcher(hooks=[decide])]}
    result = (await read(claude.query(prompt="call a tool", options=options)))[-1]
    assert isinstance(result, ResultMessage)
    return result


async def test_a_deferred_tool_pauses_and_is_decided_where_the_session_goes_on(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """A deferred tool pauses its run without an answer; it is granted and answered in the run that goes on."""
    claude = ClaudeAudit(audit)
    result = await deferred_once(claude, options)
    options.resume = result.session_id
    await read(claude.query(prompt="hello", options=options))

    paused, resumed, prompted = check_runs(audit.events)
    assert paused.end.data["stop_reason"] == "paused"
    assert "tool_call_completed" not in paused.types
    asked, granted = audit.only("tool_approval_requested"), audit.only("tool_approval_granted")
    assert (asked.run_id, granted.run_id) == (paused.run_id, resumed.run_id)
    assert asked.data["approval_id"] == granted.data["approval_id"] == "toolu_1"
    assert resumed.types.count("tool_call_completed") == 1
    assert [run.start.session_id for run in (resumed, prompted)] == [result.session_id] * 2
    assert resumed.start.parent_run_id is prompted.start.parent_run_id is None


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


async def test_a_command_line_that_dies_fails_its_run(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, tmp_path: Path
) -> None:
    """A command line that ends without a result is a failed run, and the SDK's error goes on."""
    broken = tmp_path / "claude-that-dies"
    broken.write_text(
        "#!/usr/bin/env python3\n"
        "import json, sys\n"
        "asked = json.loads(sys.stdin.readline())\n"
        "answer = {'subtype': 'success', 'request_id': asked['request_id'], 'response': {}}\n"
        "print(json.dumps({'type': 'control_response', 'response': answer}), flush=True)\n"
        "sys.stdin.readline()\n"
        "sys.exit(3)\n"
    )
    broken.chmod(0o700)
    options.cli_path = broken
    with pytest.raises(claude_agent_sdk.ProcessError):
        await read(ClaudeAudit(audit).query(prompt="hello", options=options))
    assert only_run(audit).end.data["error_code"] == "ProcessError"
