"""What is wrong around the workers, in words, each with the way out. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from trailhouse.broker.group_members import GroupMember
from trailhouse.broker.offsets import PartitionLag
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.topic import topic_options

OPEN_AFTER_SECONDS = 10.0
"""Transactions are short: one that is open at two looks in a row is worth a word."""
STALLED_AFTER_SECONDS = 100.0
"""Rows, leaves, nodes and ledger come before a commit: with 20 s for each ClickHouse is slow, and no standstill."""
MAX_SHOWN = 5


def open_transactions(
    open_seconds: Mapping[int, float], partitions: Mapping[int, PartitionLag]
) -> str | None:
    """Say which partitions wait for an open transaction, from which offset on and for how long."""
    lasting = {number: at for number, at in open_seconds.items() if at >= OPEN_AFTER_SECONDS}
    if not lasting:
        return None
    shown = _shown(
        f"partition {number} from offset {partitions[number].readable_end} on, for {seconds:.0f} s"
        for number, seconds in lasting.items()
    )
    return (
        f"another program's transaction is open, and nobody reads what is after it ({shown}):"
        " find it with kafka-transactions find-hanging and end it with abort; Trailhouse opens none"
    )


def stalled_partitions(
    stalled_seconds: Mapping[int, float],
    partitions: Mapping[int, PartitionLag],
    members: Sequence[GroupMember],
) -> str | None:
    """Say of which partitions nothing was committed for long while records wait, and who has them."""
    stalled = {number: at for number, at in stalled_seconds.items() if at >= STALLED_AFTER_SECONDS}
    if not stalled:
        return None
    shown = _shown(
        f"partition {number}, {partitions[number].lag_records} records, for {seconds:.0f} s,"
        f" {_owner(number, members)}"
        for number, seconds in stalled.items()
    )
    return f"records wait and nothing is committed ({shown})"


def unknown_members(group_id: str, members: Collection[GroupMember]) -> str | None:
    """Say who is in the group without being a worker."""
    if not members:
        return None
    shown = _shown(
        f"{member.client_id} at {member.host} with {_partitions(member.partitions)}"
        for member in members
    )
    return (
        f"the group {group_id} has a member that is no worker ({shown}), and nobody stores what is assigned to it:"
        " stop it, or give it a group of its own"
    )


def topic_settings(kafka: KafkaConfig, options: Mapping[str, str]) -> str | None:
    """Say which of the topic's *options* endanger the log; others may differ from what `init` makes."""
    wanted = topic_options(kafka)
    wrong = [
        f"{name} is {options.get(name, 'unset')}, it must be {wanted[name]}"
        for name in ("message.timestamp.type", "cleanup.policy", "unclean.leader.election.enable")
        if options.get(name) != wanted[name]
    ]
    kept_ms, wanted_ms = int(options.get("retention.ms", "0")), int(wanted["retention.ms"])
    if 0 <= kept_ms < wanted_ms:
        wrong.append(f"retention.ms is {kept_ms}, the settings say {wanted_ms}")
    if not wrong:
        return None
    return f"topic {kafka.topic} is set as it must not be ({'; '.join(wrong)}): mend it with kafka-configs --alter"


def transaction_detail(_found: Incident) -> str:
    """Return the detail of an incident about a transaction that lasts."""
    return (
        "another program's transaction was open here for a minute or longer: what is behind this offset"
        " could not be read until it ended"
    )


def _owner(number: int, members: Sequence[GroupMember]) -> str:
    for member in members:
        if number in member.partitions:
            kind = "the worker" if member.is_worker else "one that is no worker"
            return f"held by {kind} at {member.host}"
    return "held by nobody"


def _partitions(numbers: Sequence[int]) -> str:
    if not numbers:
        return "no partition"
    return ("partition " if len(numbers) == 1 else "partitions ") + ", ".join(map(str, numbers))


def _shown(parts: Iterable[str]) -> str:
    lines = list(parts)
    more = [f"and {len(lines) - MAX_SHOWN} more"] if len(lines) > MAX_SHOWN else []
    return "; ".join(lines[:MAX_SHOWN] + more)
