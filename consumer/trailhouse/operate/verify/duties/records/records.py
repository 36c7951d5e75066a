"""Duty 4: every leaf has its record, in the log or in quarantine, or an order to erase it; every hole has a reason."""

from trailhouse.operate.verify.duties.records.holes import tell_holes
from trailhouse.operate.verify.duties.records.stand_ins import tell_stand_ins
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run


def check(run: Run, found: Findings) -> Checked:
    """Look for leaves without a record, and for holes without a reason."""
    found.take(run.matching.records)
    tell_holes(run, found)
    tell_stand_ins(run, found)
    if run.is_quick:
        run.trusts("the server: ClickHouse has hashed the records, and says what they are")
    if run.scan.cut:
        run.trusts(f"the hash of {run.scan.cut} records that are too large to be kept whole")
    return Checked(sum(walked.leaves for walked in run.roots.walked().values()), "leaves")


DUTY = Duty(
    4,
    "records",
    "a record for every leaf",
    check,
    is_timed=True,
    left_out="leaves name no session and no tenant: that nothing of one is missing, `trailhouse prove --session` shows",
    in_turn=True,
)
