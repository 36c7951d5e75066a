"""The messages that Claude's command line streams, as the application reads them: the turns, their usage and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.turn import answered
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.conversation import Conversation
    from trailhouse.capture.claude_agent.turn import Turn

INTERRUPTED = ("aborted_streaming", "aborted_tools")


def said(conversation: Conversation, message: Any) -> None:
    """Record a message of the stream, told by what it has: the classes differ between versions."""
    subtype = getattr(message, "subtype", None)
    if hasattr(message, "num_turns"):
        _result(conversation, message)
    elif subtype == "init":
        _begun(conversation, message.data)
    elif subtype == "permission_denied":
        _refused(conversation, message.data)
    elif hasattr(message, "new_conversation_id"):
        conversation.usage.reset()
    elif getattr(message, "parent_tool_use_id", None) is not None:
        return  # a subagent's, of which the hooks tell
    elif hasattr(message, "model") and hasattr(message, "content"):
        _spoken(conversation, message)
    elif conversation.turns:
        _tools_answered(conversation, message)


def _begun(conversation: Conversation, told: dict[str, Any]) -> None:
    turn = conversation.oldest
    turn.model = turn.model or told.get("model")
    turn.run.note(model=told.get("model"), claude_code_version=told.get("claude_code_version"))
    conversation.begun(turn, told.get("session_id"))


def _refused(conversation: Conversation, told: dict[str, Any]) -> None:
    run = conversation.running(told.get("session_id"))
    conversation.tools.refuse(run, told["tool_use_id"], told["tool_name"], told.get("message"))


def _spoken(conversation: Conversation, message: Any) -> None:
    turn = conversation.oldest
    if message.model != "<synthetic>":  # the command line's own words, of an error
        turn.model = message.model
        turn.has_spoken = True
    run = conversation.begun(turn, getattr(message, "session_id", None))
    for block in message.content:
        if hasattr(block, "input") and hasattr(block, "name"):
            conversation.tools.start(run, block.id, block.name, block.input)


def _tools_answered(conversation: Conversation, message: Any) -> None:
    content, tools = getattr(message, "content", None), conversation.tools
    for block in content if isinstance(content, list) else []:
        call_id = getattr(block, "tool_use_id", None)
        if not isinstance(call_id, str):
            continue
        if tools.name_of(call_id) is None and conversation.is_resumed:
            run, is_error = conversation.going_on(), bool(block.is_error)
            tools.answer_deferred(run, call_id, block.content, is_error=is_error)
            continue
        # The hooks have told the end by now, unless there are none, or the call was refused.
        if tools.is_waiting(call_id):
            run, name = conversation.oldest.run, tools.name_of(call_id) or ""
            tools.refuse(run, call_id, name, _text(block.content))
        elif getattr(block, "is_error", None):
            tools.fail(call_id, _text(block.content))
        else:
            tools.complete(call_id, block.content)


def _result(conversation: Conversation, result: Any) -> None:
    turn, tools = conversation.oldest, conversation.tools
    run = conversation.begun(turn, result.session_id)
    for denial in getattr(result, "permission_denials", None) or []:
        if isinstance(denial, dict) and isinstance(denial.get("tool_use_id"), str):
            tools.refuse(run, denial["tool_use_id"], str(denial.get("tool_name")))
    _used(conversation, turn, result)
    run.note(num_turns=result.num_turns, result_uuid=getattr(result, "uuid", None))
    conversation.turns.popleft()
    deferred = getattr(result, "deferred_tool_use", None)
    if deferred is not None:
        tools.defer(run, deferred.id, deferred.name, deferred.input)
    tools.end_all(run)
    if deferred is not None:
        run.pause()
    else:
        _end(turn, result)


def _used(conversation: Conversation, turn: Turn, result: Any) -> None:
    own, beside, spent = conversation.usage.of(result, turn.model)
    if turn.has_spoken or own.input_tokens or own.output_tokens:
        turn.run.use(own)
    is_theirs = conversation.subagents.settle(beside)
    if beside is not None:
        turn.run.note(cost_usd_with_subagents=spent)
        if not is_theirs:  # a title, a summary, a page that was read for it
            turn.run.use(beside)


def _end(turn: Turn, result: Any) -> None:
    reason = getattr(result, "terminal_reason", None)
    # A result can be an error with the subtype "success": the model's provider refused.
    is_error = result.is_error or result.subtype.startswith("error")
    if reason in INTERRUPTED or (turn.is_interrupted and is_error):
        turn.run.end_as(EventType.RUN_CANCELLED, {"code": reason or "interrupted"})
    elif is_error:
        errors = [str(each) for each in getattr(result, "errors", None) or []]
        code = result.subtype if result.subtype != "success" else reason or "api_error"
        text = "; ".join(errors) or result.result
        turn.run.end_as(EventType.RUN_FAILED, {"code": code, "message": text})
    else:
        answered(turn.run, result.result)
        turn.run.end(stop_reason=result.stop_reason)


def _text(content: object) -> str | None:
    """Return the text of a tool's answer, which is text or a list of blocks."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [block.get("text") for block in content if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str)) or None
