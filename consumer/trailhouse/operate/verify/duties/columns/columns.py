"""Duty 6: every column of a row is what the worker makes of its record; the tables that follow from it likewise."""

from trailhouse.operate.verify.duties.columns.derived import check_derived
from trailhouse.operate.verify.duties.columns.erased_rows import check_erased_rows
from trailhouse.operate.verify.duties.columns.kept_parts import check_parts
from trailhouse.operate.verify.duties.views.copy_order import check_copy_order
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run


def check(run: Run, found: Findings) -> Checked:
    """Hold every column against the record."""
    found.take(run.scan.columns)
    if run.is_quick:
        run.trusts("the columns of event_log: --quick derives none of them again")
    check_parts(run, found)
    check_erased_rows(run, found)
    check_copy_order(run, found)
    if run.since:
        run.trusts(
            "event_index and event_usage, which are held against all of the log: not with --incremental"
        )
    else:
        check_derived(run, found)
    return Checked(run.scan.rows, "rows")


DUTY = Duty(6, "columns", "every column, derived again from its record", check, is_scoped=True)
