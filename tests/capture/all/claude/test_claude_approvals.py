"""Tools of Claude that somebody must allow: asked, granted, denied, deferred."""

from typing import Any

import pytest
from claude_agent_sdk import (
    ClaudeAgentOptions,
    HookMatcher,
    PermissionResultAllow,
    PermissionResultDeny,
    ResultMessage,
)
from tests.capture.all.claude.scene import only_run, read

from capture_rules import check_runs
from trailhouse.capture.claude_agent import ClaudeAudit
from trailhouse.producer.testing import InMemoryAuditLogger


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
