"""What is said of the group and of the topic, and when nothing is."""

import pytest

from trailhouse.broker.group_members import GroupMember
from trailhouse.broker.offsets import PartitionLag
from trailhouse.consumer.membership.group_warnings import (
    open_transactions,
    stalled_partitions,
    topic_settings,
    unknown_members,
)
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.topic import topic_options


def part(number: int, committed: int | None, stable: int, end: int) -> PartitionLag:
    """Return a partition's offsets."""
    return PartitionLag(
        partition=number,
        first_offset=0,
        readable_end=stable,
        end_offset=end,
        committed_offset=committed,
    )


def test_a_stranger_is_named_with_what_it_holds() -> None:
    """Where it is and its partitions; without one nothing is said."""
    stranger = GroupMember(client_id="x", host="10.0.0.2", is_worker=False, partitions=(1, 2))
    said = unknown_members("g", [stranger])
    assert said is not None
    assert "10.0.0.2 with partitions 1, 2" in said
    assert unknown_members("g", []) is None


def test_a_stall_is_said_with_who_has_the_partition() -> None:
    """After a hundred seconds without a commit while records wait; before, nothing is said."""
    members = [GroupMember(client_id="x", host="h", is_worker=False, partitions=(1,))]
    parts = {0: part(0, 3, 9, 9), 1: part(1, 3, 5, 5)}
    assert stalled_partitions({0: 99.0, 1: 0.0}, parts, members) is None
    said = stalled_partitions({0: 101.0, 1: 115.0}, parts, members)
    assert said is not None
    assert "partition 0, 6 records, for 101 s, held by nobody" in said
    assert "partition 1, 2 records, for 115 s, held by one that is no worker at h" in said


def test_an_open_transaction_is_said_with_its_offset() -> None:
    """The partition, where reading ends, and since when; a short one is not worth a word."""
    parts = {number: part(number, 4, 4, 9) for number in range(8)}
    assert open_transactions({0: 9.0}, parts) is None
    said = open_transactions(dict.fromkeys(range(8), 30.0), parts)
    assert said is not None
    assert "partition 0 from offset 4 on, for 30 s" in said
    assert "and 3 more" in said


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("message.timestamp.type", "CreateTime", "message.timestamp.type is CreateTime"),
        ("cleanup.policy", "compact", "cleanup.policy is compact"),
        ("cleanup.policy", "compact,delete", "cleanup.policy is compact,delete"),
        ("unclean.leader.election.enable", "true", "unclean.leader.election.enable is true"),
        ("retention.ms", "1000", "retention.ms is 1000"),
        ("retention.ms", "-1", None),
        ("retention.ms", "999999999999", None),
        ("compression.type", "zstd", None),
    ],
)
def test_settings_that_endanger_the_log_are_named(
    option: str, value: str, said: str | None
) -> None:
    """Whose time a record has, and whether it is kept for as long as is said; the rest is the owner's."""
    kafka = KafkaConfig()
    options = topic_options(kafka)
    assert topic_settings(kafka, options) is None
    found = topic_settings(kafka, options | {option: value})
    assert (found is None) if said is None else (found is not None and said in found)
