"""Partitions that are not as far as a seal, by the times of leaves and by what workers have noted."""

from collections.abc import Mapping

import pytest

from trailhouse.operate.verify.duties.seals.lagging_logs import older
from trailhouse.operate.verify.leaves.place_sums import PartitionKey

TOPIC = ("cluster-1", "events", "topic-1")
HERE: PartitionKey = (*TOPIC, 0)
OTHER: PartitionKey = (*TOPIC, 1)
SEALED_MS = 1_000_000_000
SECOND = 1_000


@pytest.mark.parametrize(
    ("seconds_after", "is_older"), [(-5, True), (2, True), (59, True), (60, False)]
)
def test_a_broker_whose_clock_is_ahead_does_not_make_a_partition_as_far_as_the_seal(
    seconds_after: int, *, is_older: bool
) -> None:
    """Its last leaf is younger than the seal by its own clock, and what was sealed may follow upon that leaf."""
    newest = {HERE: SEALED_MS, OTHER: SEALED_MS + seconds_after * SECOND}
    served = {HERE: SEALED_MS + SECOND, OTHER: SEALED_MS - 100 * SECOND}
    assert older(TOPIC, SEALED_MS, newest, served) == ([OTHER] if is_older else [])


@pytest.mark.parametrize(
    "served",
    [
        pytest.param({OTHER: SEALED_MS}, id="a worker has stored it up to its end since"),
        pytest.param({}, id="that none has says nothing where workers note no ends"),
    ],
)
def test_a_workers_word_decides_where_there_is_any(served: Mapping[PartitionKey, int]) -> None:
    """Nothing is awaited of a partition that a worker has stored up to its end."""
    assert older(TOPIC, SEALED_MS, {OTHER: SEALED_MS + 2 * SECOND}, served) == []
