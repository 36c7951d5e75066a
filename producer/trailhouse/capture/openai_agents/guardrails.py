"""What the guardrails of one run found, each told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.openai_agents.plain_values import plain, read
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run

STAGES = {
    "input_guardrail_results": "input",
    "output_guardrail_results": "output",
    "tool_input_guardrail_results": "tool",
    "tool_output_guardrail_results": "tool",
}
"""Where a result, an error's data and a state keep what guardrails found, and what they looked at."""


class Guardrails:
    """The guardrails of *run*."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._told: list[Any] = []

    def know(self, state: Any) -> None:
        """Take what *state*, which the run is resumed from, already holds as told."""
        for name in STAGES:
            self._told += getattr(state, f"_{name}", None) or ()

    def tell(self, data: Any) -> None:
        """Tell what *data*, a result or what an error keeps of a run, holds and is not told yet."""
        for name, stage in STAGES.items():
            for found in getattr(data, name, None) or ():
                self._tell(found, stage)

    def tell_tripped(self, error: BaseException) -> None:
        """Tell the guardrail that raised *error*, if one did."""
        name = type(error).__name__
        if name.endswith("GuardrailTripwireTriggered"):
            stage = "tool" if name.startswith("Tool") else "input" if "Input" in name else "output"
            self._tell(getattr(error, "guardrail_result", error), stage, is_tripped=True)

    def _tell(self, found: Any, stage: str, *, is_tripped: bool = False) -> None:
        output = getattr(found, "output", None)
        if any(found is told or output is getattr(told, "output", told) for told in self._told):
            return
        self._told.append(found)
        behaviour = getattr(output, "behavior", None)
        is_tripped = (
            is_tripped
            or getattr(output, "tripwire_triggered", False) is True
            or (behaviour is not None and read(behaviour, "type") != "allow")
        )
        data = {"guardrail": found.guardrail.get_name(), "stage": stage}
        info = plain(getattr(output, "output_info", None))
        data |= {} if info is None else {"reason": info}
        if is_tripped:
            self._run.log(EventType.GUARDRAIL_TRIPPED, data | {"action": "blocked"})
        else:
            self._run.log(EventType.GUARDRAIL_PASSED, data)
