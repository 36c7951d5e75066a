"""Anchors that a place outside has taken, as ClickHouse has noted, and does not have any more: a part of duty 2."""

from trailhouse.anchoring.places import writer_of
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.schemas.errors import AnchorError

_SQL = """
    SELECT max(number) FROM log_anchor_receipts
    WHERE kind = 'written' AND source = {source:String}
        AND number IN (SELECT number FROM log_anchors)
"""


def tell_taken_outside(run: Run, found: Findings) -> None:
    """Tell the newest anchors that are gone where they are kept; of a copy elsewhere nothing is noted."""
    if not run.anchors:
        return
    writer = writer_of(run.anchors)
    taken = int(run.clickhouse.query(_SQL, {"source": writer.name}).rows[0][0])
    try:
        newest = writer.newest()
    except AnchorError:  # whoever reads the anchors says so
        return
    if newest < taken:
        found.add(
            "anchor_gone_outside",
            table=run.anchors,
            name=f"anchors {newest + 1} to {taken}",
            meaning="this place has taken these anchors, and does not have them any more",
            way_out="ask who may delete there; ClickHouse still has them, and writes them again with the next anchor",
        )
