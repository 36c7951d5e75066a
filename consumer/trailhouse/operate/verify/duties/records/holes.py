"""Offsets without a leaf, against the incidents that say why there is none: a part of duty 4."""

from collections.abc import Sequence
from itertools import groupby

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import PLACE_COLUMNS, LogId, place_in
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.schemas.ranges import Ranges

REASONS = ("no_record", "expired", "unreadable", "skipped")
"""Incidents that say why an offset has no record: one that a worker went back, or waited, says nothing of any."""
_NO_RECORD = "no_record"
"""Says that Kafka gave none; the others may be noted over records that were stored before."""
_SQL = f"""
    SELECT DISTINCT {PLACE_COLUMNS}, kind, first_offset, last_offset FROM event_incidents
    WHERE kind IN {{kinds:Array(String)}}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_Incident = tuple[str, int, int]
"""Kind, first and last offset."""


def tell_holes(run: Run, found: Findings) -> None:
    """Tell holes without a reason, and reasons without a hole."""
    walks = run.roots.walked().items()
    for log, walked in walks:
        if walked.is_cut:
            run.cannot(
                f"{log} has more than {len(walked.holes):,} holes: those above offset {walked.holes[-1].last} were not"
                " held against incidents"
            )
    incidents: dict[PartitionKey, list[_Incident]] = {}
    for *place, kind, first, last in run.clickhouse.query(_SQL, {"kinds": list(REASONS)}).rows:
        incidents.setdefault(place_in(place), []).append((str(kind), int(first), int(last)))
    for place, pairs in groupby(walks, key=lambda pair: pair[0].place):
        tell_partition(found, list(pairs), incidents.get(place, ()))


def tell_partition(
    found: Findings, walks: Sequence[tuple[LogId, Walked]], rows: Sequence[_Incident]
) -> None:
    """Tell those of one partition, by the walks of its generations, the first one first. Pure."""
    explained = Ranges((first, last) for _, first, last in rows)
    for name, walked in walks:
        # A log begins where it was adopted, and a later generation where Kafka showed other records.
        if name.generation == BEFORE_PROOF:  # accepted as it stands, with its holes
            continue
        within = [part for part in walked.holes if part.first > 0 or walked.first > 0]
        for part in Ranges(within) - explained:
            found.add(
                "hole_without_incident",
                log=str(name),
                first_offset=part.first,
                last_offset=part.last,
                table="log_leaves",
                meaning="these offsets have no leaf, and no incident says why: a worker has passed over records",
                way_out="compare with Kafka (`trailhouse reconcile`); replay these offsets if it has them",
            )
    claimed = Ranges((first, last) for kind, first, last in rows if kind == _NO_RECORD)
    if claimed:
        _tell_made_up(found, walks, claimed)


def _tell_made_up(found: Findings, walks: Sequence[tuple[LogId, Walked]], claimed: Ranges) -> None:
    """Tell what *claimed* to have no record though a generation has a leaf there, and no other had none.

    One leader had no record there, such as in a transaction, and the next one has: then both are right.
    """
    unseen = [_without_leaf(walked, is_first=not place) for place, (_, walked) in enumerate(walks)]
    for place, (name, walked) in enumerate(walks):
        last = walked.holes[-1].last if walked.is_cut else walked.end - 1
        seen = Ranges([(walked.first, last)]) - Ranges(walked.holes)
        for other in (*unseen[:place], *unseen[place + 1 :]):
            seen -= other
        for part in seen & claimed:
            found.add(
                "made_up_incident",
                log=str(name),
                first_offset=part.first,
                last_offset=part.last,
                table="event_incidents",
                meaning="an incident says that Kafka gave no record here, and there are leaves: somebody made it up",
                way_out="delete the incident, after asking who wrote it",
            )


def _without_leaf(walked: Walked, *, is_first: bool) -> Ranges:
    """Return where a generation may have been without a record: not below where it begins, unless it *is_first*."""
    holes = [*walked.holes]
    if holes and not is_first and not holes[0].first and not walked.first:
        holes.pop(0)
    before = [(0, walked.first - 1)] if walked.first else []
    after = [(holes[-1].last, 2**64 - 1)] if holes and walked.is_cut else []
    return Ranges([*holes, *before, *after])
