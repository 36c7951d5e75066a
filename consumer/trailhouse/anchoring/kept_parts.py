"""Records of which quarantine keeps a part alone, given to anchors: from the part no hash of the whole can be made."""

from collections.abc import Iterable

from trailhouse.anchoring.stored_log import stored_logs
from trailhouse.broker.placeholder import KEPT_HEAD_BYTES, KEPT_TAIL_BYTES
from trailhouse.proof.anchor import Anchor, KeptPart
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.store.clickhouse import ClickHouse

MOST_PARTS = 10_000
"""Of one anchor, and one log; of more the rest is named by none."""
_PARTS = f"""
    SELECT kafka_offset, lower(hex(SHA256(assumeNotNull(record)))) FROM event_quarantine
    WHERE kafka_cluster = {{kafka_cluster:String}} AND kafka_topic_id = {{kafka_topic_id:String}}
        AND kafka_topic = {{kafka_topic:String}} AND kafka_partition = {{kafka_partition:UInt16}}
        AND kafka_offset >= {{first:UInt64}} AND kafka_offset < {{end:UInt64}} AND last_offset = kafka_offset
        AND size_bytes > {KEPT_HEAD_BYTES + KEPT_TAIL_BYTES} AND record != '' AND length(record) < size_bytes
        AND NOT startsWith(reason, 'batch: ')
    ORDER BY kafka_offset LIMIT 1 BY kafka_offset LIMIT {MOST_PARTS}
"""  # noqa: S608 - names and numbers of ours; every value is a bound parameter


def kept_parts(
    clickhouse: ClickHouse, log_name: str, checkpoints: Iterable[Checkpoint], before: Anchor | None
) -> tuple[KeptPart, ...]:
    """Return what is kept of such records that *checkpoints* hold and the anchor *before* does not.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    ends = {each.origin: each.size for each in checkpoints}
    firsts = {each.origin: each.size for each in before.checkpoints} if before else {}
    found: list[KeptPart] = []
    for log in stored_logs(clickhouse):
        origin = str(log.origin(log_name))
        first, end = firsts.get(origin, 0), ends.get(origin, 0)
        if first < end:
            values = {**log.parameters, "first": first, "end": end}
            rows = clickhouse.query(_PARTS, values).rows
            found += [KeptPart(origin, int(offset), str(digest)) for offset, digest in rows]
    return tuple(sorted(found))
