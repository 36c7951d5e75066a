"""Events of tenants for whom the policy demands a seal, by those who seal nothing."""

from collections.abc import Iterable

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import ANYBODY
from trailhouse.proof.seal import MOST_SEAL_SECONDS
from trailhouse.proof.seal_check import SLACK_SECONDS

_MOST = 10_000


def _unsealed(condition: str) -> str:
    """Return the SQL that finds them among the rows that meet *condition*."""
    return f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset
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
    """Tell the events of such tenants of which no seal is due any more."""
    allowed = run.policy.unsealed_tenants
    if ANYBODY in allowed:
        return
    rows = run.clickhouse.query(
        "SELECT max(appended_ms) FROM log_leaves WHERE appended_ms < toUnixTimestamp64Milli(now64(3))"
    ).rows
    until = int(rows[0][0]) - round((MOST_SEAL_SECONDS + SLACK_SECONDS) * 1_000)
    loggers = list(sealed)
    values: dict[str, object] = {
        "allowed": list(allowed),
        "sealed": [*loggers, ("", "")],
        "producers": [producer for _, producer in loggers],  # an erased event names no service
        "until": max(until, 0),
    }
    values |= run.scope.parameters
    rows = run.clickhouse.query(_unsealed(run.scope.condition), values).rows
    for topic, topic_id, partition, offset in rows:
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
