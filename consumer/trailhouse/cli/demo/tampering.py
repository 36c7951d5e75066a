"""The end of the demo: one stored row is changed behind the log's back, and `verify` finds it."""

import time
from collections.abc import Callable, Sequence

from trailhouse.operate.proof_keys.proof_state import proof_state
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ComparisonError
from trailhouse.schemas.event import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

SHOWN_DUTIES = frozenset({"policy", "leaves", "records", "rows", "columns"})
"""What the change of a row is found by; the others would make the demo longer, and say nothing of it."""
SIGNED_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.05
TRUE_TYPE, FORGED_TYPE = "tool_call_failed", "tool_call_completed"
FORGERY = f"""
INSERT INTO event_log SELECT * REPLACE (
    '{FORGED_TYPE}' AS type, '' AS error_code, appended_at - 1 AS appended_at)
FROM event_log WHERE event_id = {{event_id:UUID}}
"""  # noqa: S608 - names of ours
"""Of two rows of one key readers see the one that was appended first. The record is left as it is, so its hash fits."""


def show_tampering(events: Sequence[AuditEvent], say: Callable[[str], None]) -> None:
    """Verify, forge a row of *events* as whoever may write to ClickHouse can, verify again, and say what is found.

    Raises:
        ComparisonError: What nobody touched was not intact, or what was forged was not found. Permanent.
        StorageError: ClickHouse does not answer (retriable) or refuses (permanent).
    """
    proof = ProofConfig()
    with ClickHouse(ClickHouseConfig()) as storage:
        _wait_until_signed(storage, proof, len(events))
        before = _verified(storage, proof)
        if before.verdict is not Outcome.INTACT:
            raise ComparisonError(f"what nobody has changed is not intact: {_told(before)}")
        say(f"Before: {sum(before.sizes.values())} events are as they were signed.\n")
        chosen = next(event for event in events if event.type == TRUE_TYPE)
        storage.command(FORGERY, {"event_id": chosen.event_id})
        [(seen,)] = storage.query(
            "SELECT type FROM events WHERE event_id = {event_id:UUID}",
            {"event_id": chosen.event_id},
        ).rows
        say(
            "Then one INSERT of another row under the same key, a millisecond earlier: who reads by SQL now sees"
            f"\n  {seen} where {chosen.type} was logged.\n"
        )
        found = _verified(storage, proof)
    if not found.findings:
        raise ComparisonError("a forged row was not found")
    say("`trailhouse verify` finds it:")
    for each in found.findings:
        say(f"  {each.duty}: {each.place}\n    {each.meaning}")
    say("\nThe forged row is left where it is: the demo's data is removed with it.\n")


def _wait_until_signed(storage: ClickHouse, proof: ProofConfig, events: int) -> None:
    deadline = time.monotonic() + SIGNED_DEADLINE_SECONDS
    while sum(proof_state(storage.config, proof).signed_leaves.values()) < events:
        if time.monotonic() > deadline:
            raise ComparisonError("the worker has not signed all that is stored in time")
        time.sleep(_POLL_SECONDS)


def _verified(storage: ClickHouse, proof: ProofConfig) -> Report:
    duties = tuple(duty for duty in DUTIES if duty.name in SHOWN_DUTIES)
    return verify(storage, proof=proof, duties=duties)


def _told(report: Report) -> str:
    reasons = [reason for duty in report.duties for reason in duty.reasons]
    return "; ".join([*(each.meaning for each in report.findings), *reasons])
