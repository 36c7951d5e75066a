"""Duty 10: within a partition, the numbers of one producer's events rise with their offsets.

ClickHouse finds the neighbours that do not; a copy has the bytes of another event and counts once, where it was
appended first. Numbers fall where somebody takes events out of Kafka and puts them back in another order, or writes as
another producer; and they fall where a record was put back from quarantine, which is told by its row there.
"""

from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

MOST = 10_000
"""So many places are told apart; a log that has more is told to have more."""

ROWS_PER_SLICE = 20_000_000
"""ClickHouse sorts so many at a time: a gigabyte."""

_FALLS = f"""
    SELECT kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, seq = seq_before
    FROM (
        SELECT
            kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset, seq, record_key,
            max(seq) OVER (
                PARTITION BY kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, producer_id
                ORDER BY kafka_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS seq_before
        FROM event_log FINAL
        WHERE producer_id != '' AND seq IS NOT NULL AND cityHash64(producer_id) % {{slices:UInt32}} = {{slice:UInt32}}
    )
    WHERE seq <= seq_before AND record_key NOT IN (
        SELECT toFixedString(substring(record_hash, 1, 16), 16) FROM event_quarantine
    )
    ORDER BY kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, kafka_offset
    LIMIT {MOST}
    SETTINGS do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608 - names of ours; every value is a bound parameter


def check(run: Run, found: Findings) -> Checked:
    """Look at the numbers of all producers."""
    rows = int(run.clickhouse.query("SELECT count() FROM event_log").rows[0][0])
    slices = rows // ROWS_PER_SLICE + 1
    for number in range(slices):
        falls = run.clickhouse.query(_FALLS, {"slices": slices, "slice": number}).rows
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
    return Checked(rows, "events")


_TWICE = (
    "another event of the same producer before it has the same number: one of both is a stranger's"
)
_FALLS_MEANING = (
    "its number is below that of an event before it: the order was changed, or one is a stranger's"
)
_WAY_OUT = "`trailhouse account` names the producer; its seals say which events are its own"

DUTY = Duty(
    10, "numbers", "the order of each producer's numbers against the order of the log", check
)
