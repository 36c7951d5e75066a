"""Who is in the consumer group, as librdkafka describes it, whatever strangers say of themselves."""

import struct
from types import SimpleNamespace

import pytest

from trailhouse.broker.group_members import GroupMember, assigned, members_of


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
