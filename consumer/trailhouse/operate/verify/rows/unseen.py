"""Which rows an earlier run has not seen, as a condition of SQL: each partition from its own offset on. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.walked import Walked
from trailhouse.operate.verify.logs import LogId
from trailhouse.proof.policy import BEFORE_PROOF


class Unseen(NamedTuple):
    """A condition over the coordinates that every row has, and its parameters."""

    condition: str
    parameters: Mapping[str, object]


def firsts_of(walked: Mapping[LogId, Walked]) -> dict[PartitionKey, int]:
    """Return below which offset of each partition all generations were seen; 0 where one was not."""
    firsts: dict[PartitionKey, int] = {}
    for log, each in walked.items():
        if log.generation == BEFORE_PROOF and each.first >= each.end:
            continue  # nothing is added to it: what another has from there on is new
        firsts[log.place] = min(each.first, firsts.get(log.place, each.first))
    return firsts


def unseen(firsts: Mapping[PartitionKey, int]) -> Unseen:
    """Return what holds of rows that lie at or above *firsts*, and of all rows of any other partition."""
    topics: dict[tuple[str, str, str], dict[int, int]] = {}
    for (*topic, partition), first in sorted(firsts.items()):
        if first > 0:
            cluster, name, topic_id = map(str, topic)
            topics.setdefault((cluster, name, topic_id), {})[partition] = first
    parts: list[str] = []
    parameters: dict[str, object] = {}
    for number, (topic_key, offsets) in enumerate(topics.items()):
        names = [f"seen_{number}_{each}" for each in ("cluster", "topic", "topic_id")]
        parameters |= dict(zip(names, topic_key, strict=True))
        parameters |= {
            f"seen_{number}_partitions": list(offsets),
            f"seen_{number}_firsts": list(offsets.values()),
        }
        parts.append(
            f"NOT (kafka_cluster = {{{names[0]}:String}} AND kafka_topic = {{{names[1]}:String}}"
            f" AND kafka_topic_id = {{{names[2]}:String}} AND kafka_offset < transform(kafka_partition,"
            f" {{seen_{number}_partitions:Array(UInt16)}}, {{seen_{number}_firsts:Array(UInt64)}}, toUInt64(0)))"
        )
    return Unseen(" AND ".join(parts) or "true", parameters)
