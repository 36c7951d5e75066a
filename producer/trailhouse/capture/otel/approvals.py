"""Approvals that spans tell of: a run that ends with requests for them waits, and a later one has the answers."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.reading import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trailhouse.producer.recording.run import Run

MAX_WAITING = 5_000
_TRACE_ID_LENGTH = 32
_OUTPUT = "gen_ai.output.messages"
_INPUT = "gen_ai.input.messages"
_RESULT = "final_result"
_MESSAGES = "pydantic_ai.all_messages"


class Approvals:
    """Logs requests and what became of them; knows those that wait by session and call."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str | None, str], str] = OrderedDict()

    def ask(self, run: Run, tool_name: str, arguments: Any, call_id: str) -> None:
        """Log that the call waits for an approval; once."""
        key = (_session_of(run), call_id)
        if key not in self._waiting:
            run.ask_approval(tool_name, arguments, call_id=call_id, policy_name="requires_approval")
            self._waiting[key] = tool_name
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)

    def note_running(self, run: Run, call_id: str) -> None:
        """Log that the call, which is about to run, was approved, if it waited."""
        if not self._waiting:
            return
        run.begin()
        tool_name = self._waiting.pop((_session_of(run), call_id), None)
        if tool_name is not None:
            run.decide_approval(is_granted=True, tool_name=tool_name, call_id=call_id)

    def note_end(self, run: Run, attributes: Mapping[str, Any]) -> bool:
        """Log the requests that a run ended with, and the refusals that it was told of; tell whether it waits."""
        requests = list(_requests(attributes))
        for tool_name, arguments, call_id in requests:
            self.ask(run, tool_name, arguments, call_id)
        if self._waiting and not requests:
            for call_id, reason in _refusals(attributes):
                refused = self._waiting.pop((_session_of(run), call_id), None)
                if refused is not None:
                    run.decide_approval(
                        is_granted=False, tool_name=refused, call_id=call_id, reason=reason
                    )
        return bool(requests) or is_waiting(attributes)


def _session_of(run: Run) -> str | None:
    """Return the session; None for a trace's, which stands for want of another: the run that goes on has its own."""
    session = run.session_id
    return None if session is None or len(session) == _TRACE_ID_LENGTH else session


def is_waiting(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a run's result is what it waits for: Pydantic AI's `DeferredToolRequests`."""
    result = parsed(attributes.get(_RESULT))
    if not isinstance(result, dict) or not result.keys() >= {"calls", "approvals", "metadata"}:
        return False
    return bool(result["calls"] or result["approvals"])


def _requests(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The calls that wait: tool, arguments, id; as Pydantic AI and as Agent Framework tell of them."""
    if is_waiting(attributes):
        for request in parsed(attributes[_RESULT])["approvals"]:
            if isinstance(request, dict) and {"tool_name", "tool_call_id"} <= request.keys():
                yield request["tool_name"], parsed(request.get("args")), request["tool_call_id"]
    for part in _parts(attributes, _OUTPUT, "function_approval_request"):
        call = part.get("function_call")
        if isinstance(call, dict) and {"name", "call_id"} <= call.keys():
            yield call["name"], parsed(call.get("arguments")), call["call_id"]


def _refusals(attributes: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """The calls whose answer is among a run's messages though they did not run: id, and what the model was told."""
    for name in (_MESSAGES, _INPUT):
        for part in _parts(attributes, name, "tool_call_response"):
            answer = part.get("result", part.get("response"))
            yield str(part.get("id")), answer if isinstance(answer, str) else None
    for part in _parts(attributes, _INPUT, "function_approval_response"):
        call = part.get("function_call")
        if isinstance(call, dict) and part.get("approved") is False:
            yield str(call.get("call_id")), None


def _parts(attributes: Mapping[str, Any], name: str, kind: str) -> Iterator[Mapping[str, Any]]:
    text = attributes.get(name)
    if not isinstance(text, str) or kind not in text:
        return
    messages = parsed(text)
    for message in messages if isinstance(messages, list) else ():
        parts = message.get("parts") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("type") == kind:
                yield part
