"""Rows of quarantine that stand for batches that nobody can read, against what was read there: a part of duty 4."""

from collections.abc import Sequence
from functools import reduce

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.rows.rows_above import MAX_MARKERS
from trailhouse.operate.verify.run import Run
from trailhouse.schemas.ranges import Ranges

_ABOVE = f"""
    SELECT
        (SELECT uniqExact(kafka_offset) FROM event_log WHERE {OF_LOG} AND kafka_offset >= {{end:UInt64}})
        + (SELECT sum(last_offset - kafka_offset + 1) FROM event_quarantine
            WHERE {OF_LOG} AND kafka_offset >= {{end:UInt64}} AND kafka_offset < {{first:UInt64}})
"""  # noqa: S608 - names of ours; every value is a bound parameter


def tell_stand_ins(run: Run, found: Findings) -> None:
    """Tell those of offsets that have a leaf, and those that no log reaches; none of them has a leaf of its own."""
    walks: dict[PartitionKey, list[tuple[LogId, Walked]]] = {}
    for log, walked in run.roots.walked().items():
        walks.setdefault(log.place, []).append((log, walked))
    for place, ranges in run.scan.ranges.items():
        known = walks.get(place, [])
        end = max((max(each.end, run.roots.held.get(log, 0)) for log, each in known), default=0)
        read = _read([walked for _, walked in known]) & Ranges(ranges)
        beyond = Ranges(part for part in ranges if part[0] >= end)
        far = beyond if not known else Ranges(())
        if beyond and known and not _follows(run, place, end, max(first for first, _ in ranges)):
            far = beyond
        for part in (*read, *far):
            found.add(
                "made_up_range",
                log="/".join(map(str, place[1:])),
                first_offset=part.first,
                last_offset=part.last,
                table="event_quarantine",
                meaning="a row says that nobody can read these offsets, and they were read, or no log reaches them",
                way_out="delete the row, after asking who wrote it",
            )
        if beyond and not far:
            run.cannot(
                f"{'/'.join(map(str, place[1:]))}: what stands for a batch that nobody can read is above the last leaf,"
                " as where a worker was killed before it went on: start one, then verify again"
            )


def _read(walks: Sequence[Walked]) -> Ranges:
    """Return the offsets that have a leaf in each generation: of an older one they may have been unreadable."""
    seen = [
        Ranges([(each.first, each.end - 1)] if each.end > each.first else ()) - Ranges(each.holes)
        for each in walks
        if not each.is_cut
    ]
    return reduce(lambda one, other: one & other, seen) if seen else Ranges(())


def _follows(run: Run, place: PartitionKey, end: int, first: int) -> bool:
    """Tell whether rows fill the offsets from *end* to *first*, but for markers of transactions."""
    values = {**LogId(*place, "").parameters, "end": end, "first": first}
    filled = int(run.clickhouse.query(_ABOVE, values).rows[0][0])
    return first - end - filled <= MAX_MARKERS
