"""Duty 4: every leaf of a record has its record, in the log or in quarantine, or an operator's order to erase it."""

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run


def check(run: Run, found: Findings) -> Checked:
    """Look for leaves without a record."""
    found.take(run.matching.records)
    if run.is_quick:
        run.trusts("the server: ClickHouse has hashed the records, and says what they are")
    if run.scan.cut:
        run.trusts(f"the hash of {run.scan.cut} records that are too large to be kept whole")
    return Checked(sum(walked.leaves for walked in run.roots.walked().values()), "leaves")


DUTY = Duty(4, "records", "a record for every leaf", check, is_timed=True)
