"""Our hooks among the user's: what the CLI tells before and after each tool, prompt and subagent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.conversation import Conversation


class Finder(Protocol):
    """Knows the conversation that a hook tells of."""

    def of(self, session_id: str | None, call_id: str | None, /) -> Conversation: ...


class Hook:
    """One of our callbacks; has no opinion, and raises in strict mode alone."""

    def __init__(self, name: str, finder: Finder, record: Any, *, is_strict: bool) -> None:
        self.name = name
        self.finder = finder
        self._record = record
        self._is_strict = is_strict

    async def __call__(self, told: Any, tool_use_id: str | None, _context: Any) -> dict[str, Any]:
        """Record what the CLI tells; {} has no opinion, and None would count as a failure."""
        conversation = self.finder.of(told.get("session_id"), tool_use_id)
        with conversation.recorder.guard(self.name, strict=self._is_strict):
            self._record(conversation, told, tool_use_id)
        return {}


class Permission:
    """The user's `can_use_tool`, asked as it is, with the question and the answer recorded."""

    def __init__(self, finder: Finder, ask: Any) -> None:
        self.finder = finder
        self.ask = ask

    async def __call__(self, name: str, arguments: dict[str, Any], context: Any) -> Any:
        """Ask the user's callback, and return what it returns or raise what it raises."""
        call_id = getattr(context, "tool_use_id", None)
        conversation = self.finder.of(None, call_id)
        guard, tools = conversation.recorder.guard("can_use_tool"), conversation.tools
        with guard:
            run = conversation.running(None, getattr(context, "agent_id", None))
            tools.ask(run, call_id or name, name, arguments)
        answer = await self.ask(name, arguments, context)
        with guard:
            run = conversation.running(None, getattr(context, "agent_id", None))
            if getattr(answer, "behavior", None) == "allow":
                tools.decide(run, call_id or name, name, is_granted=True)
            else:
                tools.refuse(run, call_id or name, name, getattr(answer, "message", None) or None)
        return answer


def _prompted(conversation: Conversation, told: Any, _id: str | None) -> None:
    conversation.prompted(told.get("session_id"), told.get("prompt"))


def _before_tool(conversation: Conversation, told: Any, _id: str | None) -> None:
    has_waited = conversation.is_going_on
    if has_waited:
        conversation.going_on()
    run = conversation.running(told.get("session_id"), told.get("agent_id"))
    conversation.tools.start(
        run, told["tool_use_id"], told["tool_name"], told.get("tool_input"), has_waited=has_waited
    )


def _after_tool(conversation: Conversation, told: Any, _id: str | None) -> None:
    conversation.tools.complete(told["tool_use_id"], told.get("tool_response"))


def _tool_failed(conversation: Conversation, told: Any, _id: str | None) -> None:
    code = "interrupted" if told.get("is_interrupt") else None
    conversation.tools.fail(told["tool_use_id"], told.get("error"), code=code)


def _permission_asked(conversation: Conversation, told: Any, tool_use_id: str | None) -> None:
    run = conversation.running(told.get("session_id"), told.get("agent_id"))
    call_id = tool_use_id or told["tool_name"]  # its input has no id; the callback's argument has
    conversation.tools.ask(run, call_id, told["tool_name"], told.get("tool_input"))


def _subagent_started(conversation: Conversation, told: Any, _id: str | None) -> None:
    parent = conversation.running(told.get("session_id"))
    conversation.subagents.start(parent, told["agent_id"], told.get("agent_type"))


def _subagent_stopped(conversation: Conversation, told: Any, _id: str | None) -> None:
    conversation.subagents.stop(told["agent_id"])


def _stopped(conversation: Conversation, told: Any, _id: str | None) -> None:
    conversation.stopping(told.get("last_assistant_message"))


RECORDS = {
    "UserPromptSubmit": _prompted,
    "PreToolUse": _before_tool,
    "PostToolUse": _after_tool,
    "PostToolUseFailure": _tool_failed,
    "PermissionRequest": _permission_asked,
    "SubagentStart": _subagent_started,
    "SubagentStop": _subagent_stopped,
    "Stop": _stopped,
}
