"""Duty 12: what the batch ledger claims, against the leaves: how many records each batch held, and their hash."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, starmap

from trailhouse.operate.verify.duties.ledger.ledger_claims import (
    LONGEST_SPAN_RECORDS,
    Claim,
    Leaves,
    Placeholding,
    is_true,
    joined,
    joined_leaves,
    unclaimed,
)
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.checkpoints import newest_sizes
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.stream import digests_of, stored_bounds
from trailhouse.operate.verify.logs import OF_LOG, PLACE_COLUMNS, LogId, place_in
from trailhouse.operate.verify.rows.deep import digests_in_log
from trailhouse.operate.verify.run import Run
from trailhouse.schemas.ranges import Ranges

AHEAD_MINUTES = 15
"""Clocks of honest workers and ClickHouse differ by less."""
MOST_OVERLAPPING = 64
"""So many batches that begin at one offset are honest, zombies and replays included."""
_PAGE = 10_000
_WINDOW = 262_144
"""Offsets whose leaves are held in memory, but for a batch that is longer."""
_TABLE = "batch_ledger"

_CLAIMS = f"""
    SELECT DISTINCT first_offset, last_offset, toUInt64(stored_rows) + quarantined_rows AS records,
        hex(records_hash) AS hash, quarantined_rows AS bad
    FROM batch_ledger
    WHERE {OF_LOG} AND last_offset >= {{first:UInt64}}
        AND (first_offset, last_offset, hash, records, bad)
            > ({{at:UInt64}}, {{last:UInt64}}, {{hash:String}}, {{records:UInt64}}, {{bad:UInt32}})
    ORDER BY first_offset, last_offset, hash, records, bad
    LIMIT {MOST_OVERLAPPING + 1} BY first_offset LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_QUARANTINED = f"SELECT DISTINCT {PLACE_COLUMNS} FROM event_quarantine"  # noqa: S608 - names of ours
_PLACES = f"""
    SELECT {PLACE_COLUMNS}, min(first_offset), max(last_offset), count() FROM batch_ledger
    WHERE stored_rows + quarantined_rows > 0
        AND ({PLACE_COLUMNS}) NOT IN (SELECT DISTINCT {PLACE_COLUMNS} FROM event_log)
        AND ({PLACE_COLUMNS}) NOT IN (SELECT DISTINCT {PLACE_COLUMNS} FROM event_quarantine)
    GROUP BY {PLACE_COLUMNS}
"""  # noqa: S608 - names of ours
_AHEAD = f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, min(first_offset), max(last_offset), count() FROM batch_ledger
    WHERE written_at > now64(3) + INTERVAL {AHEAD_MINUTES} MINUTE GROUP BY ALL
"""  # noqa: S608 - a number of ours
_ENDS_AHEAD = f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, max(end_offset), count() FROM partition_ends
    WHERE asked_at > now64(3) + INTERVAL {AHEAD_MINUTES} MINUTE GROUP BY ALL
"""  # noqa: S608 - a number of ours
_STAND_INS = f"""
    SELECT kafka_offset, last_offset, record_hash FROM event_quarantine
    WHERE {OF_LOG} AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
        AND kafka_offset NOT IN (
            SELECT kafka_offset FROM log_leaves
            WHERE {OF_LOG} AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
        )
    ORDER BY kafka_offset LIMIT 100000
"""  # noqa: S608 - as above
_BAD = f"""
    SELECT kafka_offset, any(record_hash) FROM event_quarantine
    WHERE {OF_LOG} AND kafka_offset BETWEEN {{first:UInt64}} AND {{last:UInt64}}
    GROUP BY kafka_offset ORDER BY kafka_offset
"""  # noqa: S608 - as above


def check(run: Run, found: Findings) -> Checked:
    """Look at the batches of all partitions."""
    checked = 0
    firsts = _first_leaves(run)
    bad = {place_in(row) for row in run.clickhouse.query(_QUARANTINED).rows}
    for place, logs in groupby(run.logs, key=lambda log: log.place):
        partition = _Partition(run, found, list(logs), firsts[place], has_bad=place in bad)
        checked += partition.check()
    _tell_elsewhere(run, found)
    _tell_ahead(run, found)
    return Checked(checked, "batches")


class _Partition:
    """One partition, whose generations share its offsets: a batch may be one of any of them."""

    def __init__(
        self, run: Run, found: Findings, logs: Sequence[LogId], first: int, *, has_bad: bool
    ) -> None:
        self._run = run
        self._found = found
        self._logs = logs
        self._has_bad = has_bad
        self._name = str(logs[0]._replace(generation="1"))
        self._first = first
        self._held_until = self._first - 1

    def check(self) -> int:
        """Return how many batches were looked at."""
        checked = 0
        for claims in self._windows():
            generations, stand_ins = self._read(claims)
            bad = self._quarantined(claims, stand_ins)
            for claim in claims:
                checked += 1
                if not any(is_true(claim, leaves, stand_ins) for leaves in generations):
                    self._tell("ledger_false", claim, _FALSE)
                elif bad is not None and not self._is_split_so(claim, bad):
                    self._tell("ledger_split", claim, _SPLIT)
            self._tell_unclaimed(claims, generations)
        return checked

    def _windows(self) -> Iterator[list[Claim]]:
        """Yield claims that are near each other, each of them whole."""
        window: list[Claim] = []
        for claim in joined(self._claims()):
            if claim.last_offset < self._first or claim.first_offset < self._first:
                # Before this the log has no leaves: it was stored by a version that made none, or was looked at before.
                self._held_until = max(self._held_until, claim.last_offset)
                continue
            if claim.last_offset - claim.first_offset >= LONGEST_SPAN_RECORDS and claim.records:
                self._tell("ledger_false", claim, _FALSE)
                continue
            if window and claim.last_offset - window[0].first_offset >= _WINDOW:
                yield window
                window = []
            window.append(claim)
        if window:
            yield window

    def _claims(self) -> Iterator[Claim]:
        values = {**self._logs[0].parameters, "first": self._first}
        after: dict[str, object] = {"at": 0, "last": 0, "hash": "", "records": 0, "bad": 0}
        same, many = -1, 0
        while True:
            rows = self._run.clickhouse.query(_CLAIMS, {**values, **after}).rows
            for first, last, records, digest, bad in rows:
                claim = Claim(int(first), int(last), int(records), bytes.fromhex(digest), int(bad))
                many = many + 1 if claim.first_offset == same else 1
                same = claim.first_offset
                if many > MOST_OVERLAPPING or claim.is_impossible:
                    self._tell("ledger_impossible", claim, _IMPOSSIBLE)
                else:
                    yield claim
            if len(rows) < _PAGE:
                return
            first, last, records, digest, bad = rows[-1]
            after = {"at": first, "last": last, "hash": digest, "records": records, "bad": bad}

    def _read(self, claims: Sequence[Claim]) -> tuple[list[Leaves], Mapping[int, Placeholding]]:
        """Return the leaves of each generation around *claims*, and what stands for records without one."""
        first = min(claims[0].first_offset, self._held_until + 1)
        last = max(claim.last_offset for claim in claims)
        generations = [
            joined_leaves(starmap(Leaves, digests_of(self._run.clickhouse, log, first, last + 1)))
            for log in self._logs
        ]
        if not self._may_have_bad(claims):
            return generations, {}
        rows = self._run.clickhouse.query(
            _STAND_INS, {**self._logs[0].parameters, "first": first, "last": last}
        ).rows
        return generations, {int(at): Placeholding(int(end), digest) for at, end, digest in rows}

    def _quarantined(
        self, claims: Sequence[Claim], stand_ins: Mapping[int, Placeholding]
    ) -> Leaves | None:
        """Return which records around *claims* are in quarantine; None where it cannot be told of each batch."""
        # A generation has its own record at an offset, of which quarantine keeps the last; a range says not how many.
        if len(self._logs) > 1 or stand_ins:
            return None
        if not self._may_have_bad(claims):
            return Leaves([], b"")
        values = {
            **self._logs[0].parameters,
            "first": claims[0].first_offset,
            "last": max(claim.last_offset for claim in claims),
        }
        rows = self._run.clickhouse.query(_BAD, values).rows
        return Leaves([int(offset) for offset, _ in rows], b"".join(digest for _, digest in rows))

    def _may_have_bad(self, claims: Sequence[Claim]) -> bool:
        """Tell whether quarantine may have records around *claims*; what came since it was asked is in a claim."""
        return self._has_bad or any(claim.quarantined for claim in claims)

    def _is_split_so(self, claim: Claim, bad: Leaves) -> bool:
        """Tell whether as many records of *claim* are in quarantine as it says.

        A record that was read again by another version may have changed sides, and then is on both.
        """
        digests = bad.within(claim.first_offset, claim.last_offset).each_digest
        if claim.quarantined == len(digests):
            return True
        events = digests_in_log(self._run.clickhouse, digests)
        both = sum(digest in events for digest in digests)
        return len(digests) - both <= claim.quarantined < len(digests)

    def _tell_unclaimed(self, claims: Sequence[Claim], generations: Sequence[Leaves]) -> None:
        last = max(claim.last_offset for claim in claims)
        held = Ranges([(0, self._held_until), *(claim[:2] for claim in claims)])
        bare = Ranges(part for leaves in generations for part in unclaimed(leaves, held, last))
        for part in bare:
            self._found.add(
                "leaf_without_batch",
                log=self._name,
                first_offset=part.first,
                last_offset=part.last,
                table=_TABLE,
                meaning="no batch of the ledger holds these records, though it has later ones: a row was taken away",
                way_out="`trailhouse reconcile` names what the ledger lacks; replay these offsets",
            )
        self._held_until = max(self._held_until, last)

    def _tell(self, kind: str, claim: Claim, meaning: str) -> None:
        self._found.add(
            kind,
            log=self._name,
            first_offset=claim.first_offset,
            last_offset=max(claim.first_offset, claim.last_offset),
            table=_TABLE,
            meaning=meaning,
            way_out="restore the row of the ledger, or replay these offsets while Kafka has them",
            count=1,
        )


def _tell_elsewhere(run: Run, found: Findings) -> None:
    """Tell the batches of partitions of which nothing else is stored; where rows are, duty 5 tells these."""
    known = {log.place for log in run.logs}
    for cluster, topic, topic_id, partition, first, last, rows in run.clickhouse.query(
        _PLACES
    ).rows:
        if (cluster, topic, topic_id, int(partition)) not in known:
            found.add(
                "ledger_false",
                log=f"{topic}/{topic_id}/{partition}",
                first_offset=int(first),
                last_offset=int(last),
                table=_TABLE,
                count=int(rows),
                meaning="the ledger has batches of this partition, and no leaf, row or checkpoint of it is there",
                way_out="restore the tables of events and of proof from a backup, or replay it while Kafka has it",
            )


def _tell_ahead(run: Run, found: Findings) -> None:
    """Tell batches, and ends of partitions, that are said to be of after now: by them it is told what is late."""
    for topic, topic_id, partition, first, last, rows in run.clickhouse.query(_AHEAD).rows:
        found.add(
            "ledger_ahead",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(first),
            last_offset=int(last),
            table=_TABLE,
            count=int(rows),
            meaning="batches are said to be written later than now: a worker's clock is wrong, or they were changed",
            way_out="set the worker's clock; what these times say of signatures and anchors is not to be believed",
        )
    for topic, topic_id, partition, end, rows in run.clickhouse.query(_ENDS_AHEAD).rows:
        found.add(
            "ends_ahead",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(end),
            table="partition_ends",
            count=int(rows),
            meaning="a partition is said to have been stored up to its end later than now: a worker's clock is wrong,"
            " or somebody has made it up, so that no worker's word of it counts any more",
            way_out="set the worker's clock, or delete these rows: workers write them anew within a minute",
        )


def _first_leaves(run: Run) -> dict[PartitionKey, int]:
    """Return the offset of the first leaf of each partition, or after what an earlier run has seen of it."""
    # Without a leaf it begins where its checkpoints say: `leaves` holds them to holes alone below that.
    newest = newest_sizes(run.clickhouse)
    unseen = {log.place for log in run.logs if log not in run.since}
    leaves = stored_bounds(run.clickhouse, {log: 0 for log in run.logs if log.place in unseen})
    found: dict[PartitionKey, int] = {}
    for place, logs in groupby(run.logs, key=lambda log: log.place):
        some = list(logs)
        if place in unseen:
            firsts = [leaves[log].first for log in some if log in leaves]
            signed = newest.get(some[0]._replace(generation="1"), 0)
            found[place] = min(firsts, default=signed)
        else:
            found[place] = min(run.since[log].size for log in some)
    return found


_FALSE = "the ledger's count or hash of these records is not that of their leaves: one of both was changed"
_SPLIT = "the ledger says of these records that more, or fewer, are in quarantine than there are: it was changed"
_IMPOSSIBLE = (
    "no worker writes such a row: it ends before it begins, is too long, or is one of too many"
)

DUTY = Duty(
    12,
    "ledger",
    "how many records each batch held, and their hash, against the leaves",
    check,
    is_scoped=True,
)
