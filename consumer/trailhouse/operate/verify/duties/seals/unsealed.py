"""Events of tenants for whom the policy demands a seal, by those who seal nothing."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from trailhouse.operate.verify.duties.seals.lagging_logs import LaggingLogs
from trailhouse.operate.verify.duties.seals.sealed_records import may_be_adopted
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import ANYBODY
from trailhouse.proof.seal import MOST_SEAL_SECONDS
from trailhouse.proof.seal_check import SLACK_SECONDS

_MOST = 10_000
_DUE_MS = round((MOST_SEAL_SECONDS + SLACK_SECONDS) * 1_000)
_HAS_KEY = (
    "(record = '' OR JSONExtractString(record, 'source', 'service') IN {services:Array(String)})"
)
_LOGGED = f"""
    SELECT toString(producer_id), toUnixTimestamp64Milli(min(appended_at)), toUnixTimestamp64Milli(max(appended_at))
    FROM event_log WHERE producer_id IN {{unsealed:Array(String)}} AND {_HAS_KEY} GROUP BY producer_id
"""  # noqa: S608 - names of ours; every value is a bound parameter


def _unsealed(condition: str) -> str:
    """Return the SQL that finds them among the rows that meet *condition*."""
    return f"""
    SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,
        toUnixTimestamp64Milli(appended_at),
        {_HAS_KEY}, toString(producer_id)
    FROM event_log
    WHERE tenant_id NOT IN {{allowed:Array(String)}} AND type != 'audit_sealed'
        AND if(record = '',
            toString(producer_id) NOT IN {{producers:Array(String)}},
            (JSONExtractString(record, 'source', 'service'), toString(producer_id))
                NOT IN {{sealed:Array(Tuple(String, String))}})
        AND toUnixTimestamp64Milli(appended_at) < {{until:Int64}} AND {condition}
    ORDER BY kafka_topic, kafka_topic_id, kafka_partition, kafka_offset LIMIT {_MOST}
"""  # noqa: S608 - names of ours; every value is a bound parameter


def tell_unsealed(run: Run, found: Findings, sealed: Iterable[tuple[str, str]]) -> None:
    """Tell the events of such tenants of which no seal is due any more.

    One of a service that has a key may be sealed in a partition which no worker has come to, or by the logger that
    follows upon one which was killed before its first seal: that could not be checked.
    """
    allowed = run.policy.unsealed_tenants
    if ANYBODY in allowed:
        return
    rows = run.clickhouse.query(
        "SELECT max(appended_ms) FROM log_leaves WHERE appended_ms < toUnixTimestamp64Milli(now64(3))"
    ).rows
    now_ms = int(rows[0][0])
    loggers = list(sealed)
    values: dict[str, object] = {
        "allowed": list(allowed),
        "services": sorted({key.service for key in run.policy.services}),
        "sealed": [*loggers, ("", "")],
        "producers": [producer for _, producer in loggers],  # an erased event names no service
        "until": max(now_ms - _DUE_MS, 0),
    }
    values |= run.scope.parameters
    rows = run.clickhouse.query(_unsealed(run.scope.condition), values).rows
    reason_of = _reasons(run, values, rows, now_ms)
    for row in rows:
        topic, topic_id, partition, offset = row[1:5]
        if (reason := reason_of(row)) is not None:
            run.cannot(
                f"events of {topic} are not sealed that must be, {reason}; then verify again"
            )
            continue
        found.add(
            "unsealed_event",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(offset),
            table="event_log",
            meaning="the policy demands a seal for this tenant's events, and whoever wrote this one has made none",
            way_out="enroll the service (`trailhouse proof enroll`), or ask who wrote it",
        )
    if len(rows) >= _MOST:
        run.cannot(
            f"more than {_MOST} events lack a seal that the policy demands: others were not looked at"
        )


def _reasons(
    run: Run, values: Mapping[str, object], rows: Sequence[Sequence[Any]], now_ms: int
) -> Callable[[Sequence[Any]], str | None]:
    """Return what tells of each of *rows* why it may be sealed yet, and what is to be done; None where it may not."""
    producers = {str(producer) for *_, has_key, producer in rows if has_key}
    if not producers:
        return lambda row: None
    logs = LaggingLogs(run.clickhouse)
    killed = _killed(run, values, producers, now_ms)

    def reason(row: Sequence[Any]) -> str | None:
        cluster, topic, topic_id, _, _, at_ms, has_key, producer = row
        if not has_key:
            return None
        if producer in killed:
            return (
                "as where their logger was killed before its first seal: the next logger in its place seals what it"
                " has left; start one"
            )
        of_topic = str(cluster), str(topic), str(topic_id)
        why = logs.reason(of_topic, int(at_ms) + _DUE_MS)
        return f"{why}: let one run until it has" if why else None

    return reason


def _killed(
    run: Run, values: Mapping[str, object], producers: Collection[str], now_ms: int
) -> set[str]:
    """Return which of *producers*, of whom no seal counts, may have been killed before the first one was due."""
    if not producers:
        return set()
    rows = run.clickhouse.query(_LOGGED, {**values, "unsealed": sorted(producers)}).rows
    return {
        str(producer)
        for producer, first_ms, last_ms in rows
        if may_be_adopted((int(first_ms) + _DUE_MS) / 1_000, int(last_ms) / 1_000, now_ms / 1_000)
    }
