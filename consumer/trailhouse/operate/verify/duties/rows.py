"""Duty 5: every stored row has its leaf: this record, at this offset, at this time of the broker's."""

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run


def check(run: Run, found: Findings) -> Checked:
    """Look for rows without a leaf."""
    found.take(run.matching.rows)
    if run.is_quick:
        run.trusts("the server: ClickHouse has hashed the records, and says what they are")
    for reason in run.matching.unproven:
        run.cannot(reason)
    for place, rows in run.scan.before.items():
        run.cannot(
            f"{rows} rows of {place[1]}/{place[2]}/{place[3]} are older than the first leaf of their partition:"
            " they were stored before it was proven; where its owner vouches for them, `trailhouse proof accept`"
            " says so"
        )
    if run.is_part and not run.scan.rows and not found:
        run.cannot(
            f"no row of {run.scope} is stored: is the name right? That there never was one, only"
            " `trailhouse prove --session` shows"
        )
    return Checked(run.scan.rows + run.scan.quarantined, "rows")


DUTY = Duty(5, "rows", "a leaf for every row", check, is_scoped=True, in_turn=True)
