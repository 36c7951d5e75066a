"""Duty 10: within a partition, the numbers of one producer's events rise with their offsets.

ClickHouse finds the neighbours that do not: first of whom any seem to be, copies and all, which is quick; of these then
which are. Of what an earlier run has seen, each producer's largest number counts. A copy has the bytes of another event
and counts once, where it was appended first. Numbers fall where somebody takes events out of Kafka and puts them back
in another order, or writes as another producer; and they fall where a record was put back from quarantine, which is
told by its row there.

Where a partition's log has generations, records of two leaders share offsets, and have no order between them. So each
generation is looked at with what came before it, and without what another leader gave in its place.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.rows.unseen import unseen
from trailhouse.operate.verify.run import Run

MOST = 10_000
"""So many places are told apart; a log that has more is told to have more."""

MOST_SUSPECTS = 1_000
"""So many producers are named in a statement; where it is more, all are looked at."""
ROWS_PER_SLICE = 20_000_000
"""ClickHouse sorts so many at a time: a gigabyte."""

_PLACE = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"


_IS_NUMBERED = "producer_id != '' AND seq IS NOT NULL AND cityHash64(producer_id) % {slices:UInt32} = {slice:UInt32}"


def _falls(where: str) -> str:
    """Return the SQL that finds the numbers that do not rise among the rows that fulfil *where*."""
    return f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, seq = seq_before
    FROM (
        SELECT
            {_PLACE}, kafka_offset, seq, record_key,
            max(seq) OVER (
                PARTITION BY {_PLACE}, producer_id
                ORDER BY kafka_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS seq_before
        FROM event_log FINAL
        WHERE {_IS_NUMBERED} AND {where}
    )
    WHERE seq <= seq_before AND record_key NOT IN (
        SELECT toFixedString(substring(record_hash, 1, 16), 16) FROM event_quarantine
    ) AND kafka_offset >= {{told_from:UInt64}}
    ORDER BY {_PLACE}, kafka_offset
    LIMIT {MOST}
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608 - names of ours; every value is a bound parameter


def _suspects(where: str, new: str) -> str:
    """Return the SQL that finds of whom a row that is *new*, of those that fulfil *where*, seems not to rise.

    The same row twice, as where a worker has stored it again, is no fall: it was looked at.
    """
    # One number for both: two who share it are looked at together, and suspected, if so, for nothing.
    line = f"cityHash64({_PLACE}, producer_id) AS line"
    seen = f"""
            UNION ALL
            SELECT {line}, toUInt64(0), max(seq), any(producer_id), toFixedString('', 16), false FROM event_log
            WHERE {_IS_NUMBERED} AND {where} AND NOT ({new})
                AND producer_id IN (SELECT producer_id FROM event_log WHERE {_IS_NUMBERED} AND {where} AND {new})
            GROUP BY line
    """  # noqa: S608 - names of ours; every value is a bound parameter
    return f"""
    SELECT DISTINCT hex(producer_id) FROM (
        SELECT
            producer_id, is_new, seq, max(seq) OVER w AS seq_before,
            kafka_offset = lagInFrame(kafka_offset) OVER w AND record_key = lagInFrame(record_key) OVER w AS is_same
        FROM (
            SELECT {line}, kafka_offset, seq, producer_id, record_key, true AS is_new FROM event_log
            WHERE {_IS_NUMBERED} AND {where} AND {new}
            {seen if new != _ALL else ""}
        )
        WINDOW w AS (
            PARTITION BY line ORDER BY is_new, kafka_offset, record_key
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    WHERE is_new AND seq <= seq_before AND NOT is_same
    LIMIT {MOST_SUSPECTS + 1}
"""  # noqa: S608 - as above


_ALL = "true"
_NOT_FORKED = (
    "concat(kafka_cluster, '\n', kafka_topic, '\n', kafka_topic_id, '\n', toString(kafka_partition))"
    " NOT IN {forked:Array(String)}"
)
_IN_LINE = f"""{OF_LOG} AND (kafka_offset, record_key) NOT IN (
    SELECT kafka_offset, toFixedString(substring(digest, 1, 16), 16) FROM log_leaves
    WHERE {OF_LOG} AND (
        generation IN {{later:Array(String)}}
        OR arrayExists(
            (name, end) -> generation = name AND kafka_offset >= end, {{before:Array(String)}}, {{ends:Array(UInt64)}}
        )
    )
)"""  # noqa: S608 - as above
_BEGINNING = f"SELECT min(kafka_offset), count() FROM log_leaves WHERE {OF_LOG} AND generation = {{generation:String}}"  # noqa: S608 - as above


def check(run: Run, found: Findings) -> Checked:
    """Look at the numbers of all producers."""
    new = unseen(run.firsts)
    rows = int(
        run.clickhouse.query(
            f"SELECT count() FROM event_log WHERE {new.condition}",  # noqa: S608 - as above
            new.parameters,
        ).rows[0][0]
    )
    slices = rows // ROWS_PER_SLICE + 1
    places = [list(logs) for _, logs in groupby(run.logs, key=lambda log: log.place)]
    forked = [logs for logs in places if len(logs) > 1]
    names = ["\n".join(map(str, logs[0].place)) for logs in forked]
    for number in range(slices):
        values = {"slices": slices, "slice": number, "told_from": 0, **run.scope.parameters}
        in_line = values | {"forked": names, **new.parameters}
        _tell_suspects(run, found, _NOT_FORKED if forked else "true", new.condition, in_line)
        for line in (line for logs in forked for line in _lines_of(run, logs)):
            _tell(
                run, found, _IN_LINE + ("" if run.scope.is_all else _of_scope(run)), values | line
            )
    return Checked(rows, "events")


def _tell_suspects(run: Run, found: Findings, where: str, new: str, values: dict[str, Any]) -> None:
    if not run.scope.is_all:
        where += _of_scope(run)
    rows = run.clickhouse.query(_suspects(where, new), values).rows
    suspects = [str(producer) for (producer,) in rows]
    if suspects and len(suspects) <= MOST_SUSPECTS:
        where += " AND hex(producer_id) IN {suspects:Array(String)}"
    if suspects:
        _tell(run, found, where, values | {"suspects": suspects[:MOST_SUSPECTS]})


def _of_scope(run: Run) -> str:
    """Return that a row is of somebody who has logged any of what is asked for: of them, all is looked at."""
    return f" AND producer_id IN (SELECT DISTINCT producer_id FROM event_log WHERE {run.scope.condition})"  # noqa: S608 - as above


def _lines_of(run: Run, logs: Sequence[LogId]) -> Iterator[dict[str, Any]]:
    """Yield for each generation of a partition which rows are not in line with it, and from where on it is told of."""
    beginnings: list[tuple[int, LogId]] = []
    for log in logs:
        first, leaves = map(int, run.clickhouse.query(_BEGINNING, log.parameters).rows[0])
        if leaves or not beginnings:
            beginnings.append((first, log))
    firsts = [first for first, _ in beginnings]
    names = [log.generation for _, log in beginnings]
    for place, (first, log) in enumerate(beginnings):
        yield {
            **log.parameters,
            "later": names[place + 1 :],
            "before": names[:place],
            "ends": [min(firsts[at + 1 : place + 1]) for at in range(place)],
            "told_from": first if place else 0,
        }


def _tell(run: Run, found: Findings, where: str, values: dict[str, Any]) -> None:
    falls = run.clickhouse.query(_falls(where), values).rows
    for topic, topic_id, partition, offset, is_same in falls:
        found.add(
            "number_twice" if is_same else "number_falls",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(offset),
            table="event_log",
            meaning=_TWICE if is_same else _FALLS_MEANING,
            way_out=_WAY_OUT,
        )
    if len(falls) >= MOST:
        run.cannot(f"more than {MOST} numbers do not rise: the others were not looked at")


_TWICE = (
    "another event of the same producer before it has the same number: one of both is a stranger's"
)
_FALLS_MEANING = (
    "its number is below that of an event before it: the order was changed, or one is a stranger's"
)
_WAY_OUT = "`trailhouse account` names the producer; its seals say which events are its own"

DUTY = Duty(
    10,
    "numbers",
    "the order of each producer's numbers against the order of the log",
    check,
    is_scoped=True,
)
