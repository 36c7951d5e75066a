"""Up to which offset of each partition everything is stored: what an answer is the answer of."""

from trailhouse.store import ClickHouse


def stored_positions(clickhouse: ClickHouse) -> dict[str, int]:
    """Return the last stored offset of each partition, by "topic_id:partition".

    Read before a question is asked, everything up to there is within its answer: the worker writes it down once
    its events are stored.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    rows = clickhouse.query(
        "SELECT kafka_topic_id, kafka_partition, max(last_offset) FROM stored_batches"
        " GROUP BY kafka_topic_id, kafka_partition ORDER BY ALL"
    ).rows
    return {f"{topic}:{partition}": offset for topic, partition, offset in rows}
