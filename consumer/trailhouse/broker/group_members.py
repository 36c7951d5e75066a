"""Who is in the workers' consumer group, and which partitions each of them has."""

import struct
from typing import Any

import msgspec

from trailhouse.broker.options import WORKER_CLIENT_ID

MAX_SHOWN_CHARACTERS = 64


class GroupMember(msgspec.Struct, frozen=True, kw_only=True):
    """One member as Kafka knows it: `client_id` is what it calls itself, `host` where it is.

    `is_worker` is only what it says of itself: a program that takes our name shows by the lag of its
    partitions.
    """

    client_id: str
    host: str
    is_worker: bool
    partitions: tuple[int, ...]


def members_of(groups: list[Any], group_id: str, topic: str) -> tuple[GroupMember, ...]:
    """Return the members of *group_id* in librdkafka's answer, by their names."""
    return tuple(
        sorted(
            (
                GroupMember(
                    client_id=_shown(member.client_id),
                    host=_shown(member.client_host.removeprefix("/")),
                    is_worker=member.client_id == WORKER_CLIENT_ID,
                    partitions=assigned(member.assignment or b"", topic),
                )
                for group in groups
                if group.id == group_id
                for member in group.members
            ),
            key=lambda member: (member.client_id, member.host, member.partitions),
        )
    )


def assigned(assignment: bytes, topic: str) -> tuple[int, ...]:
    """Return the partitions of *topic* in an assignment of Kafka's consumer protocol; none if it is not one.

    Any member writes what it likes here: the leader of the group makes the assignments.
    """
    found: list[int] = []
    try:
        (topics,) = struct.unpack_from(">i", assignment, 2)
        position = 6
        for _ in range(topics):
            (length,) = struct.unpack_from(">h", assignment, position)
            name = assignment[position + 2 : position + 2 + length].decode()
            position += 2 + length
            (count,) = struct.unpack_from(">i", assignment, position)
            numbers = struct.unpack_from(f">{count}i", assignment, position + 4)
            position += 4 + 4 * count
            found += numbers if name == topic else ()
    except (struct.error, UnicodeDecodeError, ValueError, OverflowError):
        return ()
    return tuple(sorted(found))


def _shown(text: str) -> str:
    """Return *text*, which strangers choose, short and without what a terminal obeys."""
    return "".join(each if each.isprintable() else "?" for each in text[:MAX_SHOWN_CHARACTERS])
