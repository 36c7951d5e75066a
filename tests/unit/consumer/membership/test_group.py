"""The group as a worker sees it: who is in it, and what is said of it."""

import struct
from types import SimpleNamespace

import pytest

from trailhouse.broker.group_members import GroupMember, assigned, members_of
from trailhouse.broker.offsets import PartitionLag
from trailhouse.consumer.membership.group_warnings import (
    open_transactions,
    stalled_partitions,
    topic_settings,
    unknown_members,
)
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.topic import topic_options


def part(number: int, committed: int | None, stable: int, end: int, first: int = 0) -> PartitionLag:
    """Return a partition's offsets."""
    return PartitionLag(
        partition=number,
        first_offset=first,
        readable_end=stable,
        end_offset=end,
        committed_offset=committed,
    )


def assignment(topics: dict[str, list[int]]) -> bytes:
    """Return an assignment as Kafka's consumer protocol has it, without data of the user."""
    found = struct.pack(">hi", 0, len(topics))
    for name, numbers in topics.items():
        found += struct.pack(">h", len(name)) + name.encode()
        found += struct.pack(f">i{len(numbers)}i", len(numbers), *numbers)
    return found + struct.pack(">i", -1)


def member(client_id: str, host: str, partitions: list[int]) -> SimpleNamespace:
    """Return a member as librdkafka describes it."""
    return SimpleNamespace(
        client_id=client_id, client_host=f"/{host}", assignment=assignment({"t": partitions})
    )


@pytest.mark.parametrize(
    ("committed", "first", "lag"),
    [(None, 0, 9), (None, 4, 5), (2, 4, 5), (7, 4, 2), (9, 0, 0), (12, 0, 0)],
)
def test_lag_is_what_the_group_has_not_committed(
    committed: int | None, first: int, lag: int
) -> None:
    """From the committed offset, or where the log begins, to its end, those of an open transaction too."""
    assert part(0, committed, 6, 9, first).lag_records == lag


def test_an_assignment_names_its_partitions() -> None:
    """Those of our topic count, in order."""
    content = assignment({"other": [5], "t": [3, 1]})
    assert assigned(content, "t") == (1, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 3,
        assignment({"t": [1]})[:-6],
        struct.pack(">hih", 0, 1, -5),
        struct.pack(">hi", 0, 2**31 - 1),
        struct.pack(">hih", 0, 1, 1) + b"\xff" + struct.pack(">i", 0),
        struct.pack(">hih", 0, 1, 1) + b"t" + struct.pack(">i", -1),
        struct.pack(">hih", 0, 1, 1) + b"t" + struct.pack(">i", 2**31 - 1),
    ],
)
def test_an_assignment_of_a_stranger_may_be_anything(content: bytes) -> None:
    """What is not an assignment names no partition, and stops nobody."""
    assert assigned(content, "t") == ()


def test_members_are_told_from_workers() -> None:
    """A worker is who calls itself one; what strangers call themselves is shown short and harmless."""
    groups = [
        SimpleNamespace(id="other", members=[member("x", "h", [0])]),
        SimpleNamespace(
            id="g",
            members=[
                member("trailhouse-worker", "10.0.0.1", [0]),
                member("\x1b[2J" + "y" * 99, "10.0.0.2", [1, 2]),
            ],
        ),
    ]
    stranger, worker = members_of(groups, "g", "t")
    assert worker == GroupMember(
        client_id="trailhouse-worker", host="10.0.0.1", is_worker=True, partitions=(0,)
    )
    assert (stranger.is_worker, stranger.partitions, stranger.host) == (False, (1, 2), "10.0.0.2")
    assert stranger.client_id.startswith("?[2Jyy")
    assert len(stranger.client_id) == 64
    said = unknown_members("g", [stranger])
    assert said is not None
    assert "10.0.0.2 with partitions 1, 2" in said
    assert unknown_members("g", []) is None


def test_a_stall_is_said_with_who_has_the_partition() -> None:
    """After a minute without a commit while records wait; before, nothing is said."""
    members = [GroupMember(client_id="x", host="h", is_worker=False, partitions=(1,))]
    parts = {0: part(0, 3, 9, 9), 1: part(1, 3, 5, 5)}
    assert stalled_partitions({0: 59.0, 1: 0.0}, parts, members) is None
    said = stalled_partitions({0: 61.0, 1: 75.0}, parts, members)
    assert said is not None
    assert "partition 0, 6 records, for 61 s, held by nobody" in said
    assert "partition 1, 2 records, for 75 s, held by one that is no worker at h" in said


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
