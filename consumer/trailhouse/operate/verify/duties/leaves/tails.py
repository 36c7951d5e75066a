"""The leaves above the newest signed checkpoint: a part of duty 3.

A worker signs what it has stored within seconds, not at once, and one that is killed before it signed has left leaves
that nobody vouches for. So `verify` waits for as long as a worker may take; what is not signed by then could not be
checked. It is a finding where something shows that it *was* signed, or that a worker would have: an anchor has a larger
checkpoint, other logs of the topic were signed long since, a worker saw the partition end before them, or leaves that
no batch holds are older than those before, by more than brokers' clocks differ.
Who deletes the newest checkpoints so makes nothing intact; that he did shows by the anchors, by what an auditor has
kept of an earlier run, or once a worker has signed anything else.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from trailhouse.operate.verify.duties.leaves.rotations import signed_by_former
from trailhouse.operate.verify.duties.leaves.unsigned_logs import shown_unsigned
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.checkpoints import newest_size
from trailhouse.operate.verify.leaves.clock_limits import SKEW_MS
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import OF_GENERATION, OF_LOG, LogId
from trailhouse.operate.verify.rows.noted_ends import SHOWN, ends_before_leaves
from trailhouse.operate.verify.run import Run
from trailhouse.schemas.ranges import Ranges

SIGNED_WITHIN_SECONDS = 20.0
"""A worker takes ten for few leaves, five more where ClickHouse has refused a checkpoint."""
SIGNED_SINCE_SECONDS = 300.0
"""By then another worker has taken over the partitions of one that is gone, and signed them."""
PAUSE_SECONDS = 0.5
_ACCEPT = "where its owner knows why and vouches for it, `trailhouse proof accept` says so"

_BATCHES = f"""
    SELECT
        count(), max(last_offset) + 1, toUnixTimestamp64Milli(max(written_at)),
        toUnixTimestamp64Milli(now64(3))
    FROM batch_ledger WHERE {OF_LOG} AND last_offset >= {{held:UInt64}}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_SIGNED = """
    SELECT toUnixTimestamp64Milli(max(written_at)) FROM log_checkpoints
    WHERE kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}
        AND position(checkpoint, '\n\n') > 0
"""
_FORKED = f"""
    SELECT first_offset, last_offset FROM event_incidents
    WHERE {OF_LOG} AND kind = 'forked' AND last_offset >= {{held:UInt64}} AND first_offset < {{end:UInt64}}
"""  # noqa: S608 - names of ours; every value is a bound parameter
_TIMES = f"""
    SELECT
        countIf(kafka_offset < {{entered:UInt64}}),
        argMaxIf(appended_ms, kafka_offset, kafka_offset < {{entered:UInt64}}),
        countIf(kafka_offset >= {{entered:UInt64}}), minIf(appended_ms, kafka_offset >= {{entered:UInt64}})
    FROM log_leaves
    WHERE {OF_GENERATION} AND kafka_offset + 1 >= {{held:UInt64}} AND kafka_offset < {{end:UInt64}}
"""  # noqa: S608 - as above


class _Batches(NamedTuple):
    """What the ledger says of a tail: below which offset its batches are, and when the last was entered."""

    end: int
    written_ms: int | None
    now_ms: int


def tell_tails(run: Run, found: Findings) -> None:
    """Tell which leaves no signed checkpoint covers: as a finding, or as what could not be checked."""
    tails = [
        (log, walked)
        for log, walked in run.roots.walked().items()
        if walked.end and run.roots.held.get(log, 0) < walked.end and log in run.logs
    ]
    for log, walked in _not_signed(run, tails):
        held = run.roots.held.get(log, 0)
        if _is_superseded(run, log):
            _tell_superseded(run, found, log, walked)
        elif not held and walked.leaves and not walked.checkpoints:
            _tell_unsigned(run, found, log, walked)
        elif (former := signed_by_former(run, log, held)) and not _is_cut(run, log, former):
            run.cannot(_by_former(log, held, walked))
        elif (reason := _shows(run, log, walked)) is not None:
            found.add(
                "uncovered",
                log=str(log),
                first_offset=held,
                last_offset=walked.end - 1,
                table="log_leaves",
                meaning=f"no signed checkpoint covers these leaves, though {reason}:"
                " checkpoints were taken away, or leaves added",
                way_out="compare with an anchor or a kept checkpoint, and with Kafka (`trailhouse reconcile --deep`)",
            )
        else:
            run.cannot(
                f"{log}: nobody has signed its end yet, offsets {held} to {walked.end - 1}, as where a worker was"
                " killed just now: start one, it signs what Kafka has within seconds; then verify again"
            )


def _by_former(log: LogId, held: int, walked: Walked) -> str:
    return (
        f"{log}: its end, offsets {held} to {walked.end - 1}, is signed by a key alone that another one follows"
        " since a rotation: start the workers again with the new key; then verify again"
    )


def _tell_unsigned(run: Run, found: Findings, log: LogId, walked: Walked) -> None:
    former = signed_by_former(run, log, 0)
    if (shown := shown_unsigned(run, log, former)) is None:
        run.cannot(
            _by_former(log, 0, walked)
            if former
            else f"{log} is unsigned: no key of the log has signed a checkpoint that its leaves have; {_ACCEPT}"
        )
        return
    found.add(
        "unsigned_log",
        log=str(log),
        first_offset=0,
        last_offset=walked.end - 1,
        table="log_leaves",
        meaning=f"nobody has signed this log, and {shown}",
        way_out="compare with Kafka (`trailhouse reconcile --deep`); what it does not have was added",
        count=1,
    )


def _is_superseded(run: Run, log: LogId) -> bool:
    """Tell whether a key of the log has signed a later generation: nobody goes on with this one."""
    same = [each for each in run.logs if each.place == log.place]
    return any(run.roots.held.get(each, 0) for each in same[same.index(log) + 1 :])


def _tell_superseded(run: Run, found: Findings, log: LogId, walked: Walked) -> None:
    """Tell the end of a generation that nobody has signed, and nobody will: a worker has gone on without it."""
    held = run.roots.held.get(log, 0)
    values = {**log.parameters, "held": held, "end": walked.end}
    forked = Ranges((first, last) for first, last in run.clickhouse.query(_FORKED, values).rows)
    if not Ranges([(held, walked.end - 1)]) - forked:
        run.cannot(
            f"{log}: nobody had signed its end, offsets {held} to {walked.end - 1}, when Kafka showed other records"
            " there, as the incident `forked` says: only seals of producers tell which were logged; {_ACCEPT}"
        )
        return
    found.add(
        "uncovered",
        log=str(log),
        first_offset=held,
        last_offset=walked.end - 1,
        table="log_leaves",
        meaning="no key of the log has signed these leaves, and a worker has gone on without them: their checkpoints"
        " were taken away, or a worker was killed and Kafka no longer had the records when the next one came",
        way_out="compare with an anchor or a kept checkpoint: nothing else vouches for these records; "
        + _ACCEPT,
    )


def _not_signed(run: Run, tails: Iterable[tuple[LogId, Walked]]) -> list[tuple[LogId, Walked]]:
    """Return which of *tails* are not signed after a worker had the time to do it."""

    def left(some: Iterable[tuple[LogId, Walked]]) -> list[tuple[LogId, Walked]]:
        return [(log, walked) for log, walked in some if not run.roots.is_covered(log, walked.end)]

    waiting = left(tails)
    began = time.monotonic()
    until = {log: began + _due_in_seconds(run, log, walked) for log, walked in waiting}
    late: list[tuple[LogId, Walked]] = []
    while waiting:
        now = time.monotonic()
        late += [pair for pair in waiting if until[pair[0]] <= now]
        waiting = [pair for pair in waiting if until[pair[0]] > now]
        if waiting:
            run.tell("waiting for a worker to sign what it has just stored")
            time.sleep(PAUSE_SECONDS)
            waiting = left(waiting)
    return late


def _due_in_seconds(run: Run, log: LogId, walked: Walked) -> float:
    """Return how long a worker may still take, by the clock of ClickHouse; all of it where no batch tells."""
    if _is_superseded(run, log):
        return 0.0
    held = run.roots.held.get(log, 0)
    if newest_size(run.clickhouse, log) >= walked.end and not signed_by_former(
        run, log, held, or_revoked=True
    ):
        return 0.0  # it is there, and nobody's signature under it
    batches = _batches(run, log)
    if batches.written_ms is None or batches.end < walked.end:
        return SIGNED_WITHIN_SECONDS
    age_seconds = max(0, batches.now_ms - batches.written_ms) / 1_000
    return max(0.0, SIGNED_WITHIN_SECONDS - age_seconds)


def _batches(run: Run, log: LogId) -> _Batches:
    held = run.roots.held.get(log, 0)
    count, end, written_ms, now_ms = map(
        int, run.clickhouse.query(_BATCHES, {**log.parameters, "held": held}).rows[0]
    )
    return _Batches(end, written_ms, now_ms) if count else _Batches(held, None, now_ms)


def _is_cut(run: Run, log: LogId, signed_size: int) -> bool:
    """Tell whether an anchor has a larger checkpoint than the one of *signed_size*: it was taken away."""
    return max(run.anchored.roots.get(log, ()), default=0) > signed_size


def _shows(run: Run, log: LogId, walked: Walked) -> str | None:
    """Return what shows that the end of *log* was signed, or would have been; None where nothing does."""
    held = run.roots.held.get(log, 0)
    if _is_cut(run, log, held):
        return "an anchor has a larger checkpoint than those that are stored"
    if ends_before_leaves(run.clickhouse, log, held, walked.end):
        return SHOWN
    batches = _batches(run, log)
    if batches.end < walked.end:
        values = {**log.parameters, "held": held, "entered": batches.end, "end": walked.end}
        before, last_ms, added, first_ms = map(int, run.clickhouse.query(_TIMES, values).rows[0])
        if before and added and first_ms + SKEW_MS < last_ms:
            return "no batch holds the last of them, which are older than those before"
        return None
    is_newest = [each for each in run.logs if each.place == log.place][-1] == log
    if (
        is_newest
        and batches.written_ms is not None
        and newest_size(run.clickhouse, log) < walked.end
    ):
        signed_ms = int(run.clickhouse.query(_SIGNED, log.parameters).rows[0][0])
        if signed_ms - batches.written_ms > SIGNED_SINCE_SECONDS * 1_000:
            return "other logs of the topic were signed minutes after they were stored"
    return None
