"""The tool calls of one conversation with Claude: asked for, granted or refused, begun and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.capture.claude_agent.memory import DeferredCall
from trailhouse.producer.recording.tool_call import NO_END

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.memory import Remembered
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall

REFUSED = "permission_denied"
"""The `error_code` of a call that was not allowed."""
WAITS = "approval_required"
"""The `error_code` of a call that began, and waits for a decision."""


class Tools:
    """Knows each call by the id that the model gave it. A refused one begins, and fails without having run."""

    def __init__(self, deferred: Remembered[DeferredCall]) -> None:
        self._deferred = deferred
        self._calls: dict[str, tuple[Run, ToolCall]] = {}
        self._asked: set[str] = set()
        self._decided: set[str] = set()

    def start(
        self, run: Run, call_id: str, name: str, arguments: object, *, has_waited: bool = False
    ) -> None:
        """Log the start of a call, once; its end says what was decided where it has waited in an earlier run."""
        if self._deferred.pop(call_id, None) is not None or has_waited:
            self._asked.add(call_id)
        is_ours = run.recorder.claims("tool_call", call_id, run.source)
        if call_id not in self._calls and is_ours:
            call = run.tool_call(name, arguments, call_id=call_id)
            self._calls[call_id] = run, call
            call.start()

    def complete(self, call_id: str, result: object) -> None:
        """Log that a call was answered; it was allowed, if that was asked."""
        if (known := self._calls.get(call_id)) is not None:
            if call_id in self._asked:
                self.decide(known[0], call_id, known[1].name, is_granted=True)
            known[1].complete(result)

    def fail(self, call_id: str, error: object, *, code: str | None = None) -> None:
        """Log that a call failed."""
        if (known := self._calls.get(call_id)) is not None:
            known[1].fail(error, code=code)

    def ask(self, run: Run, call_id: str, name: str, arguments: object) -> None:
        """Log that a call waits to be allowed, once."""
        if call_id not in self._asked:
            self._asked.add(call_id)
            run.ask_approval(name, arguments, call_id=call_id, policy_name="permissions")

    def decide(
        self,
        run: Run,
        call_id: str,
        name: str | None,
        *,
        is_granted: bool,
        reason: str | None = None,
    ) -> None:
        """Log what was decided of a call, once."""
        if call_id not in self._decided:
            self._decided.add(call_id)
            run.decide_approval(
                is_granted=is_granted, tool_name=name, call_id=call_id, reason=reason
            )

    def refuse(self, run: Run, call_id: str, name: str, reason: str | None = None) -> None:
        """Log that a call was not allowed: it has no answer, and fails."""
        owner, call = self._calls.get(call_id, (run, None))
        self.decide(owner, call_id, name, is_granted=False, reason=reason)
        if call is not None:
            call.fail(reason, code=REFUSED)

    def defer(self, run: Run, call_id: str, name: str, arguments: object) -> None:
        """Log that a call waits for a decision that comes later, in another run: it has not run."""
        self.ask(run, call_id, name, arguments)
        self._decided.add(call_id)
        self._deferred[call_id] = DeferredCall(name, arguments)
        self.fail(call_id, None, code=WAITS)

    def answer_deferred(self, run: Run, call_id: str, answer: object, *, is_error: bool) -> None:
        """Log the answer of a call that waited, where no hook has told that it began."""
        call = self._deferred.pop(call_id, None)
        self.decide(run, call_id, None if call is None else call.name, is_granted=not is_error)
        if call is not None and not is_error:
            self.start(run, call_id, call.name, call.arguments)
            self.complete(call_id, answer)

    def name_of(self, call_id: str) -> str | None:
        """Return the tool of a call that is known."""
        known = self._calls.get(call_id)
        return None if known is None else known[1].name

    def is_waiting(self, call_id: str) -> bool:
        """Tell whether a call was asked about, and nothing was decided."""
        return call_id in self._asked and call_id not in self._decided

    def end_all(self, run: Run | None = None) -> None:
        """End what *run*, or any for None, left open, and forget its calls; one that still waits was refused."""
        for call_id, (owner, call) in list(self._calls.items()):
            if run is None or owner is run:
                if self.is_waiting(call_id):
                    self.refuse(owner, call_id, call.name)
                elif call.is_open:
                    call.fail(code=NO_END)
                del self._calls[call_id]
                self._asked.discard(call_id)
                self._decided.discard(call_id)
