"""Duty 11: each leaf's broker time fits the order of its log, and the anchor that covers it."""

import time
from collections.abc import Iterable

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.clock_limits import (
    SKEW_MS,
    Bucket,
    Limit,
    Misdated,
    TimeCheck,
)
from trailhouse.operate.verify.leaves.stream import leaves_of
from trailhouse.operate.verify.logs import Bounds, LogId, in_groups
from trailhouse.operate.verify.run import Run

_BUCKET = 4_096
_SKEW = f"more than {SKEW_MS // 1_000} seconds"
_SQL = f"""
    SELECT kafka_partition, min(kafka_offset), max(kafka_offset), min(appended_ms), max(appended_ms), max(back_ms)
    FROM (
        SELECT kafka_partition, kafka_offset, appended_ms, max(appended_ms) OVER (
            PARTITION BY kafka_partition, intDiv(kafka_offset, {_BUCKET}) ORDER BY kafka_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) - appended_ms AS back_ms
        FROM log_leaves WHERE {{}}
    )
    GROUP BY kafka_partition, intDiv(kafka_offset, {_BUCKET}) ORDER BY kafka_partition, 2
"""  # noqa: S608 - names of ours; every value is a bound parameter
_MEANING = {
    Misdated.SENDER: (
        "sender_time",
        "these records carry their sender's time: the topic was switched from the broker's (LogAppendTime)",
        "switch the topic back; what these times say is not to be believed",
    ),
    Misdated.NONE: (
        "no_time",
        "the broker's time is 1970 or before: its clock was wrong, or somebody else wrote it",
        "look at the broker's clock, and at who may write to its disks",
    ),
    Misdated.AFTER_ANCHOR: (
        "after_anchor",
        f"the broker's time is {_SKEW} after the anchor that holds the record, or after now",
        "look at the clocks of the broker and of who makes anchors: one of them is wrong",
    ),
    Misdated.BACK: (
        "time_goes_back",
        f"the broker's time is {_SKEW} before that of a record before it",
        "look at the clocks of the brokers: one was set back, or is behind the others",
    ),
}


def check(run: Run, found: Findings) -> Checked:
    """Look at the times of all logs, in their order."""
    leaves = 0
    now_ms = round(time.time() * 1_000)
    buckets = _buckets(run)
    for log in run.logs:
        leaves += _check_log(run, found, log, buckets.get(log, ()), now_ms)
    number, at_ms = run.anchored.latest
    if at_ms > now_ms + SKEW_MS:
        found.add(
            "anchor_in_future",
            table="log_anchors",
            name=f"anchor {number}",
            meaning=f"its time is {_SKEW} after now: the clock of who made it was wrong",
            way_out="set that clock; what the anchor says of times is not to be believed",
        )
    return Checked(leaves, "leaves")


def _buckets(run: Run) -> dict[LogId, list[Bucket]]:
    found: dict[LogId, list[Bucket]] = {}
    kept = {log: each.size for log, each in run.since.items()}
    bounds = {log: Bounds(kept.get(log, 0), 0) for log in run.logs}
    for group in in_groups(bounds, "kafka_offset >= {first}"):
        sql = _SQL.format(group.condition)
        for partition, *bucket in run.clickhouse.query(sql, group.parameters).rows:
            log = group.by_partition[int(partition)]
            found.setdefault(log, []).append(Bucket(*map(int, bucket)))
    return found


def _check_log(
    run: Run, found: Findings, log: LogId, buckets: Iterable[Bucket], now_ms: int
) -> int:
    limits = [Limit(*each) for each in run.anchored.limits.get(log, ())]
    check = TimeCheck(limits, now_ms)
    count = 0
    for bucket in buckets:
        count += bucket.last_offset - bucket.first_offset + 1
        if check.is_clean(bucket):
            continue
        for block in leaves_of(run.clickhouse, log, bucket.first_offset, bucket.last_offset + 1):
            for offset, appended_ms in zip(block.offsets, block.appended_ms, strict=True):
                if (wrong := check.take(offset, appended_ms)) is not None:
                    kind, meaning, way_out = _MEANING[wrong]
                    found.add(
                        kind,
                        log=str(log),
                        first_offset=offset,
                        table="log_leaves",
                        meaning=meaning,
                        way_out=way_out,
                    )
    return count


DUTY = Duty(
    11,
    "times",
    "the broker's time of each record against its neighbours and its anchor",
    check,
    is_scoped=True,
)
