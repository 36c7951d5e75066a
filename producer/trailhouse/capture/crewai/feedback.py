"""Human feedback on a flow's method: what was asked, and what was said, now or after a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

REFUSALS = frozenset(
    {
        "denied",
        "deny",
        "declined",
        "decline",
        "no",
        "reject",
        "rejected",
        "refuse",
        "refused",
        "disapproved",
    }
)
"""Outcomes that refuse. Any other, and words without an outcome, let the flow go on."""


class Feedback:
    """Pairs a question with its answer by flow and method; the answer may come in another process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._asked: set[str] = set()

    def waits(self, run: Run | None, flow: Any, method: str, output: object) -> None:
        """Log that somebody is asked, once until that is answered."""
        key = _key(flow, method)
        if run is not None and key not in self._asked:
            self._asked.add(key)
            run.ask_approval(method, output, approval_id=key, policy_name="human_feedback")

    def resumed(self, run: Run, flow: Any) -> None:
        """Note that a flow goes on with an answer: what it was asked was logged by the run that paused."""
        pending = flow.pending_feedback
        if pending is not None:
            self._asked.add(_key(flow, pending.method_name))
            run.note(resumed_at=pending.method_name)

    def given(self, run: Run | None, flow: Any, method: str) -> None:
        """Log what somebody has said of *method*, which has finished."""
        answer = flow.last_human_feedback
        if run is None or answer is None or answer.method_name != method:
            return
        if not self._recorder.claims("crewai_feedback", f"{_key(flow, method)}:{answer.timestamp}"):
            return
        self.waits(run, flow, method, None)
        key = _key(flow, method)
        self._asked.discard(key)
        refused = isinstance(answer.outcome, str) and answer.outcome.lower() in REFUSALS
        said = " ".join(filter(None, (answer.outcome and f"{answer.outcome}:", answer.feedback)))
        run.decide_approval(
            is_granted=not refused, tool_name=method, approval_id=key, reason=said or None
        )


def _key(flow: Any, method: str) -> str:
    return f"{flow.flow_id}:{method}"
