"""Logs that are not as far as a seal: a worker was killed just now, or catches up, and what is sealed may lie there.

A seal and the records that it names lie in several partitions, and these are not stored at one pace: one worker of
several is killed, or all catch up after an outage. Who looks then sees the seal, and not yet all of its records. That
is told from a loss by what lags: a log whose end nobody signs, as where its worker was killed, or one that grows while
it is looked at and is still older than the seal. A worker that stands at the end of its partitions leaves neither; that
one stands there, and not none, is told by `partition_ends`, where workers note when a partition was last stored up to
its end. What is missing of what was sealed before that time is lost.
"""

import datetime as dt
import time
from collections.abc import Collection, Iterator, Mapping
from time import sleep as pause
from typing import NamedTuple

from trailhouse.operate.verify.duties.leaves.tails import PAUSE_SECONDS, SIGNED_WITHIN_SECONDS
from trailhouse.operate.verify.leaves.clock_limits import SKEW_MS
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.logs import PLACE_COLUMNS
from trailhouse.store.clickhouse import ClickHouse

SETTLED_SECONDS = 10.0
"""A record may be stored so much later than the seal over it, which lies in another partition."""
TAKEN_OVER_SECONDS = 60.0
"""By then another worker has the partitions of one that is gone: its session has ended after 45 seconds."""
SERVED_WITHIN_SECONDS = 120.0
"""By then it is noted that a partition was stored up to its end: once a minute, of what is seen each half at least."""
UNSERVED_SECONDS = 86_400.0
"""What no worker has come to for so long is told as missing, whoever keeps them away."""
LONGEST_PAUSE_SECONDS = 5.0
KILLED_MS = 60_000
"""What was appended so long before the last leaf of a killed worker's log was stored by then, in each partition."""
_LEAVES = f"""
    SELECT {PLACE_COLUMNS}, argMax(appended_ms, kafka_offset), max(kafka_offset) + 1
    FROM log_leaves GROUP BY {PLACE_COLUMNS}
"""  # noqa: S608 - names of ours
_COVERED = f"SELECT {PLACE_COLUMNS}, max(size) FROM log_checkpoints GROUP BY {PLACE_COLUMNS}"  # noqa: S608 - names of ours
_SERVED = f"""
    SELECT {PLACE_COLUMNS}, toUnixTimestamp64Milli(max(asked_at)) FROM partition_ends GROUP BY {PLACE_COLUMNS}
"""  # noqa: S608 - names of ours
_ENTERED = "SELECT toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(written_at)) FROM batch_ledger"

Topic = tuple[str, str, str]
"""Cluster, name and id."""


class LogEnd(NamedTuple):
    """Up to where a partition's log is stored, when its last record was appended, and how much a checkpoint covers."""

    newest_ms: int
    size: int
    covered_size: int


class LaggingLogs:
    """Where logs end now, and where they ended when this was made."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._before = self._now = _ends(clickhouse)
        self._served_ms = _served(clickhouse)
        self._made_seconds = time.monotonic()

    def wait(self, seals: Collection[tuple[Topic, int]]) -> bool:
        """Wait a little while anything may come of what was appended to topics until these times; tell whether it may.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        waited_seconds = time.monotonic() - self._made_seconds
        is_due = any(self._is_due(topic, at_ms, waited_seconds) for topic, at_ms in seals)
        if is_due:
            pause(min(PAUSE_SECONDS + waited_seconds / 4, LONGEST_PAUSE_SECONDS))
            self._now = _ends(self._clickhouse)
            self._served_ms = _served(self._clickhouse)
        return is_due

    def _is_due(self, topic: Topic, at_ms: int, waited_seconds: float) -> bool:
        if any(self._unsigned(topic)) and waited_seconds < SIGNED_WITHIN_SECONDS:
            return True
        age_seconds = time.time() - at_ms / 1_000
        if 0 <= age_seconds < SETTLED_SECONDS:
            return True
        if not self._older(topic, at_ms):
            return False
        within = SERVED_WITHIN_SECONDS if self._is_noted(topic) else TAKEN_OVER_SECONDS
        if 0 <= age_seconds < within:
            return True
        entered_seconds = int(self._clickhouse.query(_ENTERED).rows[0][0]) / 1_000
        return waited_seconds < SETTLED_SECONDS and entered_seconds < SETTLED_SECONDS

    def reason(self, topic: Topic, at_ms: int) -> str | None:
        """Return why records of before *at_ms* may lie in *topic* unstored, by what was seen; None where none does."""
        if self._lags(topic, at_ms):
            return "while a worker of the topic was killed or catches up"
        # Without a word of any partition, its workers do not note what is stored up to its end.
        is_too_long = time.time() - at_ms / 1_000 > UNSERVED_SECONDS
        unserved = [] if is_too_long or not self._is_noted(topic) else self._older(topic, at_ms)
        if not unserved:
            return None
        times = [(place[3], self._served_ms.get(place)) for place in unserved]
        told = ", ".join(f"{n} since {_utc(ms)}" if ms else f"{n} at all" for n, ms in times)
        return f"and no worker has served {topic[1]} up to the end of partition {told}"

    def _lags(self, topic: Topic, at_ms: int) -> bool:
        if any(at_ms > end.newest_ms - KILLED_MS for end in self._unsigned(topic)):
            return True
        return any(
            end.newest_ms < at_ms and end.size > self._before.get(place, end).size
            for place, end in self._of(topic).items()
        )

    def _is_noted(self, topic: Topic) -> bool:
        return any(place[:3] == topic for place in self._served_ms)

    def _older(self, topic: Topic, at_ms: int) -> list[PartitionKey]:
        newest_ms = {place: end.newest_ms for place, end in self._now.items()}
        return older(topic, at_ms, newest_ms, self._served_ms)

    def _unsigned(self, topic: Topic) -> Iterator[LogEnd]:
        """Yield the ends that nobody has signed since this was made."""
        for place, end in self._of(topic).items():
            if (before := self._before.get(place)) and before.size > end.covered_size:
                yield end

    def _of(self, topic: Topic) -> dict[PartitionKey, LogEnd]:
        return {place: end for place, end in self._now.items() if place[:3] == topic}


def older(
    topic: Topic,
    at_ms: int,
    newest_ms: Mapping[PartitionKey, int],
    served_ms: Mapping[PartitionKey, int],
) -> list[PartitionKey]:
    """Return the partitions of *topic* that are neither stored beyond *at_ms* nor known to have ended there. Pure.

    Brokers' clocks differ: where workers note ends, a leaf that is younger by no more than that says nothing.

    Args:
        topic: Of which partitions.
        at_ms: A broker's time, in Unix milliseconds.
        newest_ms: When the last leaf of each partition was appended.
        served_ms: When a worker last noted that it had stored a partition up to its end.
    """
    is_noted = any(place[:3] == topic for place in served_ms)
    until_ms = at_ms + (SKEW_MS if is_noted else 0)
    places = newest_ms.keys() | served_ms.keys()
    # A topic that was made anew holds nothing any more.
    if any(
        served_ms.get(place, 0) >= at_ms
        for place in places
        if place[:2] == topic[:2] and place[2] != topic[2]
    ):
        return []
    return [
        place
        for place in sorted(places)
        if place[:3] == topic
        and newest_ms.get(place, 0) < until_ms
        and served_ms.get(place, 0) < at_ms
    ]


def _ends(clickhouse: ClickHouse) -> Mapping[PartitionKey, LogEnd]:
    covered = {_place(row): int(row[4]) for row in clickhouse.query(_COVERED).rows}
    ends = {_place(row): (int(row[4]), int(row[5])) for row in clickhouse.query(_LEAVES).rows}
    return {place: LogEnd(*end, covered.get(place, 0)) for place, end in ends.items()}


def _served(clickhouse: ClickHouse) -> Mapping[PartitionKey, int]:
    return {_place(row): int(row[4]) for row in clickhouse.query(_SERVED).rows}


def _utc(at_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _place(row: tuple[object, ...]) -> PartitionKey:
    cluster, topic, topic_id, partition = row[:4]
    return str(cluster), str(topic), str(topic_id), int(str(partition))
