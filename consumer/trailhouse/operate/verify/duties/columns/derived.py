"""Whether the tables that follow from the log hold just what follows from it."""

from trailhouse.operate.derived_rows import compare_derived, contradicting_copies
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.store.derived_tables import derived_tables


def check_derived(run: Run, found: Findings) -> None:
    """Hold `event_index` and `event_usage` against the columns of the log, which are held against its records."""
    within = run.scope.derived_condition
    run.trusts(
        "ClickHouse compares event_index and event_usage with event_log, by a hash whose secret was drawn for this run"
    )
    for derived in derived_tables():
        for date, events in contradicting_copies(
            run.clickhouse, derived, secret=run.roots.secret, within=within
        ).items():
            found.add(
                "derived_copies",
                table=derived.name,
                name=date.isoformat(),
                count=events,
                meaning="events of this day have rows that say different things: those that do not follow from the log"
                " were added, and are shown to who reads rows as they are stored",
                way_out="`trailhouse rebuild` makes the table anew",
            )
    tables = compare_derived(run.clickhouse, run.tell, secret=run.roots.secret, within=within)
    for table in tables:
        for day in table.differing:
            found.add(
                "derived_rows",
                table=table.table,
                name=day.date.isoformat(),
                count=day.missing + day.extra + day.altered,
                meaning=f"of this day {day.missing} rows are missing, {day.extra} are too many, {day.altered} say"
                " something else than the log",
                way_out="`trailhouse rebuild` makes the table anew",
            )
        if table.unchecked_days:
            found.add(
                "derived_rows",
                table=table.table,
                name=f"{table.unchecked_days} more days",
                count=table.unchecked_days,
                meaning="these days differ from the log",
                way_out="`trailhouse rebuild` makes the table anew",
            )
