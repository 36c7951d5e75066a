"""Rows that are older than the first leaf of their partition: which there are, and leaves for them, made now."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trailhouse.operate.verify.logs import OF_LOG, LogId
from trailhouse.operate.verify.rows.quarantine_stream import quarantined_rows
from trailhouse.operate.verify.rows.stream import Wanted, rows_of
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import BEFORE_PROOF
from trailhouse.store.tables import LOG_LEAVES

_PLACE = "kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition"
_STORED = f"""
    SELECT {_PLACE}, min(kafka_offset), max(kafka_offset) + 1 FROM (
        SELECT {_PLACE}, kafka_offset FROM event_log
        UNION ALL
        SELECT {_PLACE}, kafka_offset FROM event_quarantine
        WHERE last_offset = kafka_offset AND NOT startsWith(reason, 'batch: ')
    ) GROUP BY {_PLACE} ORDER BY {_PLACE}
"""  # noqa: S608 - names of ours
_BEGUN = f"""
    SELECT {_PLACE}, min(first) FROM (
        SELECT {_PLACE}, min(kafka_offset) AS first FROM log_leaves
        WHERE generation != '{BEFORE_PROOF}' GROUP BY {_PLACE}
        UNION ALL
        SELECT {_PLACE}, max(size) AS first FROM log_checkpoints WHERE generation = '1'
            AND ({_PLACE}) NOT IN (SELECT DISTINCT {_PLACE} FROM log_leaves WHERE generation != '{BEFORE_PROOF}')
        GROUP BY {_PLACE}
    ) GROUP BY {_PLACE}
"""  # noqa: S608 - names of ours
_EARLIER = f"{OF_LOG} AND kafka_offset < {{end:UInt64}}"
_Leaf = tuple[int, int, int, bytes]
"""Offset, kind, time and digest."""


class EarlierRows(NamedTuple):
    """Of one partition: its log in the generation that stands for them, and the offset below which they lie."""

    log: LogId
    first: int
    end: int


def earlier_rows(run: Run) -> Iterator[EarlierRows]:
    """Yield the partitions that have such rows; where no worker has begun a log, all its rows are.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    begun = {tuple(place): int(first) for *place, first in run.clickhouse.query(_BEGUN).rows}
    for *place, first, end in run.clickhouse.query(_STORED).rows:
        cluster, topic, topic_id, partition = place
        log = LogId(str(cluster), str(topic), str(topic_id), int(partition), BEFORE_PROOF)
        until = begun.get(tuple(place), int(end))
        if int(first) < until:
            yield EarlierRows(log, int(first), until)


def store_leaves(run: Run, rows: EarlierRows) -> int:
    """Make and store the leaf of each of *rows*, in place of what stands for them; return how many.

    What is stored counts once a policy accepts its root, and not before.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent). Repeat it.
    """
    run.clickhouse.command(
        f"DELETE FROM log_leaves WHERE {OF_LOG} AND generation = {{generation:String}}",  # noqa: S608 - names of ours
        rows.log.parameters,
    )
    count = 0
    for leaves in _leaves(run, rows):
        columns = list(zip(*leaves, strict=True))
        named = {
            "kafka_cluster": rows.log.cluster,
            "kafka_topic": rows.log.topic,
            "kafka_topic_id": rows.log.topic_id,
            "kafka_partition": rows.log.partition,
            "generation": rows.log.generation,
        }
        run.clickhouse.insert(
            LOG_LEAVES.block(
                {
                    **{name: [value] * len(leaves) for name, value in named.items()},
                    **dict(
                        zip(("kafka_offset", "kind", "appended_ms", "digest"), columns, strict=True)
                    ),
                }
            )
        )
        count += len(leaves)
    return count


def _leaves(run: Run, rows: EarlierRows) -> Iterator[list[_Leaf]]:
    values = {**rows.log.parameters, "end": rows.end}
    erased = run.erased_by_key
    for block in rows_of(run.clickhouse, Wanted(_EARLIER, values, has_columns=False)):
        for row in block.blank:
            block.digests[row] = erased.get(block.record_keys[row], block.digests[row])
        yield [
            (offset, 1, at_ms, digest)
            for offset, at_ms, digest in zip(
                block.offsets, block.appended_ms, block.digests, strict=True
            )
        ]
    yield from _some_at_once(
        (each.offset, int(each.kind), each.appended_ms, each.digest)
        for each in quarantined_rows(run.clickhouse, _EARLIER, values)
        if not each.is_range
    )


def _some_at_once(leaves: Iterable[_Leaf], most: int = 8_192) -> Iterator[list[_Leaf]]:
    some: list[_Leaf] = []
    for leaf in leaves:
        some.append(leaf)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some
