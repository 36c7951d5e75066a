"""Which sequence numbers of each producer ClickHouse has not: exact as far as the work is bounded, and counted beyond.

Whoever may write to the topic may number events as he likes: a producer with a hole at every other
number costs no more than a bounded one, and does not drown the others.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.sequences import SEQUENCED

PRODUCERS_PER_QUERY = 300
BUCKET_SEQS = 65_536
BUCKETS_PER_QUERY = 500
MAX_BUCKETS_PER_PRODUCER = 1_000
"""So many buckets with a hole are looked into for one producer: the lowest."""
MAX_BUCKETS = 20_000
MAX_STRETCHES_PER_PRODUCER = 100_000
"""So many numbers without a hole between them are told apart for one producer: the lowest."""
MAX_STRETCHES = 1_000_000
IMPLAUSIBLE_SEQS = 1_000_000_000
"""A jump by more than this is no loss that anybody could have had: a forged number, or a damaged one."""


class Holes(NamedTuple):
    """What ClickHouse has not of one producer.

    `exact` are numbers without a row. Above them, in `beyond`, only their count is known: `uncounted`
    numbers there have no row.
    """

    exact: Ranges
    beyond: Range
    uncounted: int

    @property
    def size(self) -> int:
        """How many numbers that is; a jump that is not plausible counts as one."""
        sizes = [part.size for part in self.exact] + [self.uncounted]
        return sum(1 if size > IMPLAUSIBLE_SEQS else size for size in sizes)


NOTHING = Range(0, -1)


class _Counted(NamedTuple):
    """One producer's buckets: which are full, which must be looked into, how many numbers they hold."""

    full: list[Range]
    partial: list[int]
    seqs: int


class GapFinder:
    """Finds the holes, again and again: of a producer of whom nothing has come since, it knows them.

    A row is not taken back, so as many numbers in each bucket as before are the same numbers.

    Args:
        storage: Where to ask.
        sequenced_sql: The SELECT of all numbers; another one for who may see views alone.
    """

    def __init__(self, storage: ClickHouse, sequenced_sql: str = SEQUENCED) -> None:
        self._storage = storage
        self._sequenced = sequenced_sql
        self._known: dict[str, tuple[Range, _Counted, Holes]] = {}

    def holes(self, between: Mapping[str, Range]) -> dict[str, Holes]:
        """Return each producer's numbers that ClickHouse has not, within its range in *between*.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        counted = _counted(self._storage, self._sequenced, between)
        same = {
            name: known[2]
            for name, known in self._known.items()
            if name in between and known[:2] == (between[name], counted[name])
        }
        new = {name: found for name, found in counted.items() if name not in same}
        found = same | _holes(self._storage, self._sequenced, between, new)
        self._known = {name: (between[name], counted[name], found[name]) for name in between}
        return found


def _holes(
    storage: ClickHouse,
    sequenced_sql: str,
    between: Mapping[str, Range],
    counted: Mapping[str, _Counted],
) -> dict[str, Holes]:
    # Those with the fewest holes first: what is left of the work is for the others.
    ids = sorted(counted, key=lambda name: (len(counted[name].partial), name))
    looked_into = {name: counted[name].partial[:MAX_BUCKETS_PER_PRODUCER] for name in ids}
    wanted = [(name, bucket) for name in ids for bucket in looked_into[name]][:MAX_BUCKETS]
    stretches, ends = _stretches(storage, sequenced_sql, wanted)
    found: dict[str, Holes] = {}
    reached = _reached(wanted)
    for name in ids:
        cut = ends.get(name)
        skipped = counted[name].partial[reached.get(name, 0) :]
        if cut is None and skipped:
            cut = skipped[0] * BUCKET_SEQS - 1
        found[name] = _holes_of(between[name], counted[name], stretches.get(name, []), cut)
    return found


def _reached(wanted: Sequence[tuple[str, int]]) -> dict[str, int]:
    reached: dict[str, int] = {}
    for name, _ in wanted:
        reached[name] = reached.get(name, 0) + 1
    return reached


def _holes_of(
    within: Range, counted: _Counted, stretches: Sequence[Range], cut: int | None
) -> Holes:
    """Return the holes below and above the number up to which all is known; None for all of it."""
    present = Ranges([*counted.full, *stretches])
    if cut is None or cut >= within.last:
        return Holes(Ranges([within]) - present, NOTHING, 0)
    beyond = Range(max(cut + 1, within.first), within.last)
    below = present - Ranges([beyond])
    above = max(0, counted.seqs - below.size)
    return Holes(Ranges([(within.first, cut)]) - below, beyond, max(0, beyond.size - above))


def _counted(
    storage: ClickHouse, sequenced_sql: str, between: Mapping[str, Range]
) -> dict[str, _Counted]:
    """Count the different numbers in each bucket: one pass, a bitmap a bucket."""
    found = {name: _Counted([], [], 0) for name in between}
    ids = sorted(between)
    for begin in range(0, len(ids), PRODUCERS_PER_QUERY):
        rows = storage.query(
            f"""
            SELECT producer_id, intDiv(number, {BUCKET_SEQS}) AS bucket,
                groupBitmap(toUInt32(number % {BUCKET_SEQS}))
            FROM ({sequenced_sql}) WHERE producer_id IN {{ids:Array(String)}}
            GROUP BY producer_id, bucket ORDER BY producer_id, bucket
            """,  # noqa: S608 - names of ours; every value is a bound parameter
            {"ids": ids[begin : begin + PRODUCERS_PER_QUERY]},
        ).rows
        for name, bucket, numbers in rows:
            # Chosen here: to find a producer's range for each row would cost ClickHouse more than all else.
            within = between[name]
            if within.first // BUCKET_SEQS <= bucket <= within.last // BUCKET_SEQS:
                found[name] = _with(found[name], bucket, numbers)
    return found


def _with(counted: _Counted, bucket: int, numbers: int) -> _Counted:
    if numbers == BUCKET_SEQS:
        first = bucket * BUCKET_SEQS
        counted.full.append(Range(first, first + BUCKET_SEQS - 1))
    else:
        counted.partial.append(bucket)
    return counted._replace(seqs=counted.seqs + numbers)


def _stretches(
    storage: ClickHouse, sequenced_sql: str, wanted: Sequence[tuple[str, int]]
) -> tuple[dict[str, list[Range]], dict[str, int]]:
    """Return the numbers in *wanted* buckets as ranges, and up to where for those that have too many."""
    found: dict[str, list[Range]] = {}
    ends: dict[str, int] = {}
    left = MAX_STRETCHES
    for begin in range(0, len(wanted), BUCKETS_PER_QUERY):
        part = [each for each in wanted[begin : begin + BUCKETS_PER_QUERY] if each[0] not in ends]
        if left <= 0:
            for name, bucket in part:
                ends.setdefault(name, bucket * BUCKET_SEQS - 1)
        elif part:
            rows = _stretches_in(storage, sequenced_sql, part, left)
            for name, stretches in rows.items():
                here = found.setdefault(name, [])
                here += stretches
                left -= len(stretches)
                if len(here) > MAX_STRETCHES_PER_PRODUCER:
                    ends[name] = here[MAX_STRETCHES_PER_PRODUCER - 1].last
            if left <= 0:
                for name, bucket in part:
                    if name not in rows:
                        ends.setdefault(name, bucket * BUCKET_SEQS - 1)
                last_name = next(reversed(rows))
                ends.setdefault(last_name, rows[last_name][-1].last)
    return found, ends


def _stretches_in(
    storage: ClickHouse, sequenced_sql: str, part: Sequence[tuple[str, int]], limit: int
) -> dict[str, list[Range]]:
    """Return them of each producer, in the order of *part*; *limit* of all together."""
    rows = storage.query(
        f"""
        SELECT producer_id, arraySort(groupArray(first)), arraySort(groupArray(last))
        FROM (
            SELECT producer_id, min(number) AS first, max(number) AS last
            FROM (
                SELECT producer_id, number,
                    toInt64(number) - row_number() OVER (PARTITION BY producer_id ORDER BY number) AS stretch
                FROM (
                    SELECT DISTINCT producer_id, number FROM ({sequenced_sql})
                    WHERE producer_id IN {{ids:Array(String)}} AND intDiv(number, {BUCKET_SEQS}) IN
                        {{buckets:Array(UInt64)}} AND (producer_id, intDiv(number, {BUCKET_SEQS})) IN
                        arrayZip({{ids:Array(String)}}, {{buckets:Array(UInt64)}})
                )
            )
            GROUP BY producer_id, stretch ORDER BY indexOf({{ids:Array(String)}}, producer_id), first
            LIMIT {MAX_STRETCHES_PER_PRODUCER + 1} BY producer_id LIMIT {limit}
        )
        GROUP BY producer_id ORDER BY indexOf({{ids:Array(String)}}, producer_id)
        """,  # noqa: S608 - as above
        {"ids": [name for name, _ in part], "buckets": [bucket for _, bucket in part]},
    ).rows
    return {name: list(map(Range, firsts, lasts)) for name, firsts, lasts in rows}
