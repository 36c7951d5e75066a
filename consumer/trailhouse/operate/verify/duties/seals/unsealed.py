"""Events of tenants for whom the policy demands a seal, by those who seal nothing."""

from collections.abc import Iterable

from trailhouse.operate.verify.duties.seals.lagging_logs import LaggingLogs
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import ANYBODY
from trailhouse.proof.seal import MOST_SEAL_SECONDS
from trailhouse.proof.seal_check import SLACK_SECONDS

_MOST = 10_000
_DUE_MS = round((MOST_SEAL_SECONDS + SLACK_SECONDS) * 1_000)


def _unsealed(condition: str) -> str:
    """Return the SQL that finds them among the rows that meet *condition*."""
    return f"""
    SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset,
        toUnixTimestamp64Milli(appended_at),
        record = '' OR JSONExtractString(record, 'source', 'service') IN {{services:Array(String)}}
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

    One of a service that has a key may be sealed in a partition which no worker has come to: that could not be checked.
    """
    allowed = run.policy.unsealed_tenants
    if ANYBODY in allowed:
        return
    rows = run.clickhouse.query(
        "SELECT max(appended_ms) FROM log_leaves WHERE appended_ms < toUnixTimestamp64Milli(now64(3))"
    ).rows
    until = int(rows[0][0]) - _DUE_MS
    loggers = list(sealed)
    values: dict[str, object] = {
        "allowed": list(allowed),
        "services": sorted({key.service for key in run.policy.services}),
        "sealed": [*loggers, ("", "")],
        "producers": [producer for _, producer in loggers],  # an erased event names no service
        "until": max(until, 0),
    }
    values |= run.scope.parameters
    rows = run.clickhouse.query(_unsealed(run.scope.condition), values).rows
    logs = LaggingLogs(run.clickhouse) if rows else None
    for cluster, topic, topic_id, partition, offset, at_ms, has_key in rows:
        of_topic = str(cluster), str(topic), str(topic_id)
        if logs and has_key and (reason := logs.reason(of_topic, int(at_ms) + _DUE_MS)):
            run.cannot(
                f"events of {topic} are not sealed that must be, {reason}: let one run until it has; then verify again"
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
