"""How long what was stored had to wait for its anchor: the policy says how long it may."""

from itertools import pairwise

from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

TOLERANCE_SECONDS = 600
"""So much later an anchor may be: a worker that was killed is back by then, and so is a key that is far away."""
_STORED_MS = 10_000
"""What was stored so long before an anchor or after it, may be in it or not."""
_STORED = """
    SELECT kafka_cluster, kafka_topic, kafka_topic_id, kafka_partition, max(last_offset) + 1
    FROM batch_ledger
    WHERE written_at > fromUnixTimestamp64Milli({from:Int64}) AND written_at < fromUnixTimestamp64Milli({until:Int64})
    GROUP BY ALL
"""


def tell_late(run: Run, found: Findings) -> None:
    """Tell anchors that came later after what was stored than the policy allows, and `TOLERANCE_SECONDS`.

    A time in which nothing was stored is none: without a worker there is nothing to anchor.
    """
    allowed = max((each.anchor_seconds for each in run.policies.policies.values()), default=0)
    most_ms = (allowed + TOLERANCE_SECONDS) * 1_000
    for (number, before_ms), (following, at_ms) in pairwise(run.anchored.made):
        if at_ms - before_ms <= most_ms:
            continue
        values = {"from": before_ms + _STORED_MS, "until": at_ms - most_ms}
        if values["from"] >= values["until"]:
            continue
        late = 0
        for *place, end in run.clickhouse.query(_STORED, values).rows:
            covered = [
                times.size_at(number)
                for log, times in run.anchored.limits.items()
                if list(log.place) == place
            ]
            late += int(end) > max(covered, default=0)
        if late:
            found.add(
                "anchor_late",
                table="log_anchors",
                name=f"anchor {following}",
                meaning="what was stored has waited for it longer than the policy allows, and could be changed",
                way_out="see why no anchor was made; compare what was stored meanwhile with Kafka",
                count=late,
            )
