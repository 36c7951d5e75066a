"""Rows that were added to what readers are shown: checks of no seal, and standings that no seal gives an event."""

from collections.abc import Collection

from trailhouse.operate.verify.duties.standings.rows import (
    MOST_UNCOUNTED,
    Unnamed,
    checks_of_no_record,
    loggers_of_erased_seals,
    standings_at_two_times,
    unnamed_standings,
)
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

AGAIN = (
    "delete the rows of this table: a worker judges all seals again (or `trailhouse proof seals`)"
)


def tell_checks_of_nothing(run: Run, found: Findings) -> None:
    """Tell of what is said to have been found of seals that are not there."""
    for topic, topic_id, partition, offset in checks_of_no_record(run.clickhouse):
        found.add(
            "check_of_nothing",
            table="seal_checks",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=offset,
            meaning="it says what was found of a seal, and there is no such seal: the row was added",
            way_out=AGAIN,
        )


def tell_unnamed(
    run: Run, found: Findings, closing: Collection[tuple[int, bytes]], uncounted: Collection[bytes]
) -> None:
    """Tell of events that are shown as what no seal says of them.

    Args:
        run: What is verified.
        found: Where it is told.
        closing: The records of last seals, which no seal names.
        uncounted: Keys of seals that do not count, of which nobody has said so.
    """
    # What an erased seal has named nobody knows any more, but that these were events of its own logger.
    erased = loggers_of_erased_seals(run.clickhouse)
    if erased:
        run.trusts(
            "seals were erased by order: of their loggers' events, standings that no other seal gives are not looked at"
        )
    if len(uncounted) > MOST_UNCOUNTED:
        run.trusts(
            f"standings by {len(uncounted):,} seals that do not count, and that no worker has judged yet: let one do so"
        )
        uncounted = ()
    beside = Unnamed(closing, erased, uncounted)
    unnamed = unnamed_standings(run.clickhouse, beside)
    if unnamed:  # what was judged meanwhile has its seal by now
        unnamed = sorted(set(unnamed) & set(unnamed_standings(run.clickhouse, beside)))
    unnamed = unnamed or standings_at_two_times(run.clickhouse)
    if unnamed:
        found.add(
            "standing_of_nothing",
            table="event_standings",
            name=f"the first has the key {unnamed[0][1].hex()}",
            meaning="events are shown as what no seal says of them: the rows were added",
            way_out=AGAIN,
            count=len(unnamed),
        )
