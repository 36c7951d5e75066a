"""What the event that ends a run holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.producer.object_fields import completed_data, given
from trailhouse.producer.recording.run_records import described_error
from trailhouse.producer.recording.usage import Totals, Usage
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.run_records import RunRecords


def end_data(
    run: RunRecords, totals: Totals | None, type: EventType, error: object, stop_reason: str | None
) -> dict[str, Any]:
    """Return the `data` of the end of *run*, but for how long it took.

    Args:
        run: The run.
        totals: What its model calls used; None where it had none.
        type: The type of the event.
        error: What ended it.
        stop_reason: Why it completed; before what its result says.
    """
    agent_id = run.agent_id
    if type is EventType.RUN_ABANDONED:
        return {"agent_id": agent_id, "reason": error}
    if type is not EventType.RUN_COMPLETED:
        return {"agent_id": agent_id, **described_error(error)}
    if totals is None and run.result is None:
        return {"agent_id": agent_id, "token_usage": {}, "stop_reason": stop_reason or "end_turn"}
    return _completed(run, totals or Totals(), stop_reason)


def _completed(run: RunRecords, totals: Totals, stop_reason: str | None) -> dict[str, Any]:
    data: dict[str, Any]
    if run.result is None:
        data = {"agent_id": run.agent_id, "token_usage": totals.token_usage}
    else:
        data = completed_data(run, None, run.result)
        used = data["token_usage"]
        if isinstance(used, Usage):
            used = used.tokens()
        data["token_usage"] = totals.token_usage if type(used) is dict and not used else used
    cost = data.get("cost_usd", totals.cost_usd)
    stop = stop_reason or data.get("stop_reason", "end_turn")
    return data | given({"cost_usd": cost, "stop_reason": stop})
