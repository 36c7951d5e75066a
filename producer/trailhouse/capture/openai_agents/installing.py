"""Puts the recording runner in front of the SDK's, and takes it out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.capture.installation import Undo, install_once

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger


def install(audit: AuditLogger, *, strict: bool = False) -> Undo:
    """Record every run of the OpenAI Agents SDK in this process, however it is started and traced.

    Runs, tools, handoffs, guardrails, approvals and usage are seen by the runner and by run hooks beside the
    application's own, so also where tracing is off. Once for a logger; what is returned undoes it.

    Args:
        audit: Records them.
        strict: A run whose start or a tool whose call cannot be recorded is not begun: that raises. By default nothing
            of ours reaches the application.

    Raises:
        ConfigError: The SDK is not installed, or a version that this cannot stand on. Permanent.
    """
    return install_once("openai_agents", audit, lambda: _hook_in(audit, strict=strict))


def _hook_in(audit: AuditLogger, *, strict: bool) -> Undo:
    from agents.run import get_default_agent_runner, set_default_agent_runner

    from trailhouse.capture.openai_agents.runner import RecordingRunner
    from trailhouse.capture.openai_agents.tool_failures import watch_tool_failures

    before = get_default_agent_runner()
    runner = RecordingRunner(before, audit, strict=strict)
    unwatch = watch_tool_failures()
    set_default_agent_runner(runner)

    def undo() -> None:
        runner.is_recording = False  # somebody may have put a runner around this one
        unwatch()
        if get_default_agent_runner() is runner:
            set_default_agent_runner(before)

    return undo
