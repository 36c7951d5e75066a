"""Duty 7: what is in the log is an event, and what is in quarantine is none, decided again."""

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.rows.deep import digests_in_log
from trailhouse.operate.verify.run import Run


def check(run: Run, found: Findings) -> Checked:
    """Look for records in the wrong table."""
    scan = run.scan
    if run.is_quick:
        run.trusts("that what is in event_log is an event: --quick decides it for quarantine alone")
    found.take(scan.verdicts)
    # One that was read wrongly once and sent again is an event of the log by now.
    known = digests_in_log(run.clickhouse, [row.digest for row in scan.doubted])
    for row in scan.doubted:
        if row.digest not in known:
            found.add(
                "hidden_event",
                log="/".join(map(str, row.place[1:])),
                first_offset=row.offset,
                table="event_quarantine",
                meaning="a record in quarantine is an event, and no row of the log holds it: readers do not see it",
                way_out="replay its offset while Kafka has it, or `trailhouse quarantine requeue`",
            )
    return Checked(scan.rows + scan.quarantined, "records")


DUTY = Duty(
    7,
    "verdicts",
    "event or quarantine, decided again",
    check,
    is_scoped=True,
    in_turn=True,
)
