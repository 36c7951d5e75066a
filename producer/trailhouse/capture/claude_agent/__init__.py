"""Records what agents of the Claude Agent SDK do: `install` for all of them, `ClaudeAudit` for one at a time."""

from trailhouse.capture.claude_agent.audit import ClaudeAudit, install

__all__ = ["ClaudeAudit", "install"]
