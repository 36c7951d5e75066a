"""Rows of many logs in one statement, and offsets without a gap."""

from array import array

import pytest

from trailhouse.operate.verify.leaves.gapless import are_gapless
from trailhouse.operate.verify.logs import LOGS_PER_STATEMENT, Bounds, LogId, in_groups


def log(partition: int, generation: str = "1", topic: str = "t") -> LogId:
    """Return a log."""
    return LogId("c", topic, "id", partition, generation)


def test_logs_of_one_topic_and_generation_are_asked_for_together() -> None:
    """Each from its own offset on; names are bound, numbers are ours."""
    bounds = {log(1): Bounds(5, 9), log(0): Bounds(0, 7), log(0, "2-ab"): Bounds(3, 4)}
    groups = {group.parameters["generation"]: group for group in in_groups(bounds)}
    assert groups["1"].by_partition == {0: log(0), 1: log(1)}
    assert groups["2-ab"].by_partition == {0: log(0, "2-ab")}
    assert "kafka_partition = 1 AND kafka_offset >= 5 AND kafka_offset < 9" in groups["1"].condition
    assert "2-ab" not in groups["2-ab"].condition


def test_a_statement_stays_within_what_clickhouse_takes() -> None:
    """Of thousands of partitions each is in one statement, and none is longer than a few ten thousand characters."""
    logs = {log(number): Bounds(2**62, 2**63) for number in range(2 * LOGS_PER_STATEMENT + 1)}
    groups = list(in_groups(logs))
    assert [len(group.by_partition) for group in groups] == [LOGS_PER_STATEMENT] * 2 + [1]
    assert max(len(group.condition) for group in groups) < 64 * 1024


@pytest.mark.parametrize(
    ("offsets", "gapless"),
    [([7], True), ([7, 8, 9], True), ([7, 9, 10], False), ([7, 7, 9], False), ([7, 7, 8], False)],
)
def test_offsets_follow_each_other_or_do_not(offsets: list[int], gapless: bool) -> None:
    """One twice and one left out are no whole stretch, however many they are."""
    assert are_gapless(offsets) is gapless
    assert are_gapless(array("Q", offsets)) is gapless
