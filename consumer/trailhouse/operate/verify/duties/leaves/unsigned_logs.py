"""What shows of a log that nobody has signed that it is not one that a worker has just begun: a part of duty 3."""

from trailhouse.operate.verify.logs import OF_GENERATION, OF_LOG, LogId
from trailhouse.operate.verify.rows.noted_ends import SHOWN, ends_before_leaves
from trailhouse.operate.verify.run import Run

SIGNED_SINCE_SECONDS = 300.0
"""By then another worker has taken over the partitions of one that is gone, and signed them."""
SOME_LEAVES = 1_000
"""So many leaves are looked for in other logs, the first and the last: who copies a log copies these."""

_COPIED = f"""
    SELECT count() FROM log_leaves
    WHERE NOT ({OF_GENERATION}) AND (appended_ms, digest) IN (
        SELECT appended_ms, digest FROM (
            SELECT appended_ms, digest FROM log_leaves WHERE {OF_GENERATION}
            ORDER BY kafka_offset LIMIT {SOME_LEAVES}
            UNION ALL
            SELECT appended_ms, digest FROM log_leaves WHERE {OF_GENERATION}
            ORDER BY kafka_offset DESC LIMIT {SOME_LEAVES}
        )
    )
"""  # noqa: S608 - names of ours; every value is a bound parameter
_WRITTEN = f"""
    SELECT count(), toUnixTimestamp64Milli(max(written_at)) FROM batch_ledger
    WHERE {OF_LOG} AND written_at < now64(3) + INTERVAL 15 MINUTE
"""  # noqa: S608 - as above
_SIGNED = """
    SELECT toUnixTimestamp64Milli(max(written_at)) FROM log_checkpoints
    WHERE kafka_cluster = {cluster:String} AND kafka_topic = {topic:String} AND kafka_topic_id = {topic_id:String}
        AND position(checkpoint, '\n\n') > 0
"""


def shown_unsigned(run: Run, log: LogId, former: int) -> str | None:
    """Return what shows that the unsigned *log* would have been signed, or was made up; None where nothing does.

    A worker that was killed leaves a log without a signature until another one has taken over. Where nobody signs
    anything of the log's topic nothing is shown. Of *former* leaves a key has signed them that another one follows: a
    worker goes on by it that was not started again, whenever the log began.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    anchored = max(run.anchored.roots.get(log, ()), default=0)
    if log in run.anchored.limits and (not former or anchored > former):
        return "an anchor names it: its checkpoints were taken away"
    if ends_before_leaves(run.clickhouse, log, 0, run.roots.walked()[log].end):
        return SHOWN
    others = [other for other, size in run.roots.held.items() if size and other[:3] == log[:3]]
    if not others:
        return None
    if int(run.clickhouse.query(_COPIED, log.parameters).rows[0][0]):
        return "other logs have the same records of the same millisecond: it is a copy of them"
    if former:
        return None
    count, written_ms = map(int, run.clickhouse.query(_WRITTEN, log.parameters).rows[0])
    if not count:
        return None
    signed_ms = int(run.clickhouse.query(_SIGNED, log.parameters).rows[0][0])
    anchored_ms = run.anchored.latest[1] if set(others) & run.anchored.limits.keys() else 0
    if max(signed_ms, anchored_ms) - written_ms > SIGNED_SINCE_SECONDS * 1_000:
        return "other logs of its topic were signed, or anchored, minutes after it was stored"
    return None
