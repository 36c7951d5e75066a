"""Whether rows say by themselves which of two copies stays: the one that was appended first, by its own place and time.

A merge, and whoever is shown one row of several, goes by `event_log.ver`. ClickHouse works it out when a row is
inserted; who inserts one may give another, and then the later copy is shown, and the first one merged away.
"""

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.rows.deep import LATEST_VER_MS, VER_OFFSETS
from trailhouse.operate.verify.run import Run

_VER = (
    f"bitNot(bitShiftLeft(least(toUInt64(toUnixTimestamp64Milli(appended_at)), {LATEST_VER_MS}), 22)"
    f" + kafka_offset % {VER_OFFSETS})"
)


def check_copy_order(run: Run, found: Findings) -> None:
    """Tell the rows whose precedence does not follow from their own place and time; ClickHouse compares."""
    rows = run.clickhouse.query(
        "SELECT kafka_topic, kafka_topic_id, kafka_partition, min(kafka_offset), max(kafka_offset), count()"  # noqa: S608 - names and numbers of ours; every value is a bound parameter
        f" FROM event_log WHERE ver != {_VER} AND ({run.scope.condition})"
        " GROUP BY kafka_topic, kafka_topic_id, kafka_partition ORDER BY ALL LIMIT 1000",
        run.scope.parameters,
    ).rows
    for topic, topic_id, partition, first, last, count in rows:
        found.add(
            "copy_order",
            log=f"{topic}/{topic_id}/{partition}",
            first_offset=int(first),
            last_offset=int(last),
            table="event_log",
            count=int(count),
            meaning="somebody has given these rows a precedence that is not theirs: of copies, another than the first"
            " is shown and kept",
            way_out="delete these rows, and replay their offsets while Kafka has them",
        )
