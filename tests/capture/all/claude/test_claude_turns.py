"""What a turn of Claude leaves in the log, however it ends."""

import asyncio
from pathlib import Path

import claude_agent_sdk
import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
)
from tests.capture.all.claude.scene import only_run, read

from capture_rules import check_runs
from scripted_claude import ScriptedClaude
from trailhouse.capture.claude_agent import ClaudeAudit, install
from trailhouse.producer.testing import InMemoryAuditLogger


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


def test_a_stream_that_is_left_as_its_loop_ends_is_cancelled(options: ClaudeAgentOptions) -> None:
    """A program that leaves the stream as its last act has a cancelled run: its loop waits for nothing."""

    async def main() -> None:
        async for message in claude_agent_sdk.query(prompt="call a tool", options=options):
            if isinstance(message, AssistantMessage):
                break

    with InMemoryAuditLogger() as audit:
        undo = install(audit)
        asyncio.run(main())
        undo()
    assert only_run(audit).end.type == "run_cancelled"


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
