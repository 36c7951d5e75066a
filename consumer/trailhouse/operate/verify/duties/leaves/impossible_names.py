"""Rows of partitions whose topic has a name that no broker takes: a part of duty 3.

Such a name is not asked for again as it is stored: what is no UTF-8 comes back as other text. Leaves, rows and ledger
that agree with each other under it would be held against nothing.
"""

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

_TEXT = "^[ -~]{0,255}$"
_RULES = {
    # Kafka's own rule for the names of topics: `org.apache.kafka.common.internals.Topic`.
    "kafka_topic": "^[a-zA-Z0-9._-]{1,249}$",
    "kafka_cluster": _TEXT,
    "kafka_topic_id": _TEXT,
}
_WITH_GENERATIONS = (
    "log_leaves", "log_nodes", "log_checkpoints", "session_manifests", "session_manifest_entries",
)  # fmt: skip
_TABLES = (
    "event_log", "event_quarantine", "batch_ledger", "event_incidents", "partition_ends",
    *_WITH_GENERATIONS,
)  # fmt: skip


def tell_impossible_names(run: Run, found: Findings) -> None:
    """Tell rows that no worker has written, for no partition has such a name.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    counts = " UNION ALL ".join(map(_count_in, _TABLES))
    for table, count in run.clickhouse.query(counts).rows:
        if int(count):
            found.add(
                "impossible_name",
                table=str(table),
                meaning=f"rows stand under a name that no topic, cluster or generation has; {int(count):,} of them",
                way_out="no worker wrote these rows: delete them, after asking who did",
            )


def _count_in(table: str) -> str:
    rules = _RULES | ({"generation": _TEXT} if table in _WITH_GENERATIONS else {})
    names = " AND ".join(f"match({column}, '{rule}')" for column, rule in rules.items())
    return f"SELECT '{table}' AS name, count() FROM {table} WHERE NOT ({names})"  # noqa: S608 - names of ours
