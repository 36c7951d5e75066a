"""Looks at the whole group now and then, in a thread: the lag of all partitions, its members, open transactions.

Every worker looks, whatever it has been assigned: a stranger who takes partitions may take any.
"""

import threading
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog

from trailhouse.consumer.group_members import GroupMember
from trailhouse.consumer.group_offsets import PartitionLag
from trailhouse.consumer.group_warnings import (
    open_transactions,
    stalled_partitions,
    transaction_detail,
    unknown_members,
)
from trailhouse.consumer.health import Health
from trailhouse.consumer.incidents import Incidents
from trailhouse.consumer.kafka_origin import KafkaOrigin
from trailhouse.consumer.metrics import WorkerMetrics
from trailhouse.consumer.partition_stalls import PartitionStalls
from trailhouse.consumer.verdict import Finding
from trailhouse.schemas.errors import BrokerRejectedError, DeliveryError, StorageError

LOOK_EVERY_SECONDS = 15.0
LOOKS_A_WATCHDOG = 4
"""The watchdog holds positions against what was seen here, so it must be seen more often than it bites."""
LASTING_TRANSACTION_SECONDS = 60.0
"""Kafka ends a transaction after its producer's `transaction.timeout.ms`, by default a minute."""
MAX_AGE_LOOKS = 3


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """The group as it was seen at one moment of the monotonic clock."""

    seen_at_seconds: float
    partitions: Mapping[int, PartitionLag]
    members: tuple[GroupMember, ...]


class GroupWatch:
    """What is known of the group while one membership lasts; `start` and `stop` frame it."""

    def __init__(
        self,
        *,
        ask_kafka: Callable[[], KafkaOrigin],
        group_id: str,
        watchdog_seconds: float,
        health: Health,
        metrics: WorkerMetrics,
        incidents: Incidents,
    ) -> None:
        self._ask_kafka = ask_kafka
        self._group_id = group_id
        self._every_seconds = min(
            LOOK_EVERY_SECONDS, watchdog_seconds / LOOKS_A_WATCHDOG or LOOK_EVERY_SECONDS
        )
        self._health = health
        self._metrics = metrics
        self._incidents = incidents
        self._stalls = PartitionStalls(2 * self._every_seconds)
        self._open = PartitionStalls(2 * self._every_seconds)
        self._noted: set[Finding] = set()
        self._stop = threading.Event()
        self._view: GroupView | None = None
        self._log = structlog.get_logger("trailhouse.worker")

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="trailhouse-group", daemon=True).start()

    def stop(self) -> None:
        """Look no more. Does not block."""
        self._stop.set()

    def view(self) -> GroupView | None:
        """Return what was seen last, or None while that is nothing, or too long ago to be relied on."""
        view = self._view
        if view is None:
            return None
        age_seconds = time.monotonic() - view.seen_at_seconds
        return view if age_seconds < MAX_AGE_LOOKS * self._every_seconds else None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(self._every_seconds)

    def _look(self) -> None:
        members: tuple[GroupMember, ...] = ()
        refusal: str | None = None
        try:
            # A new client: one from before an outage may not answer for a minute.
            with self._ask_kafka() as admin:
                partitions = admin.lag(self._group_id)
                try:
                    members = admin.members(self._group_id)
                except BrokerRejectedError as error:
                    refusal = str(error)
        except DeliveryError as error:
            # That Kafka is away is said on /health by whoever reads the topic.
            self._log.debug("cannot look at the group", reason=str(error))
            return
        now = time.monotonic()
        if self._stop.is_set():
            return
        self._view = GroupView(
            seen_at_seconds=now,
            partitions={part.partition: part for part in partitions},
            members=members,
        )
        self._health.warn("group_unknown", refusal)
        self._tell(self._view)

    def _tell(self, view: GroupView) -> None:
        parts = view.partitions
        stalled = self._stalls.seconds(
            view.seen_at_seconds,
            {
                number: part.next_offset
                for number, part in parts.items()
                if part.next_offset < part.readable_end
            },
        )
        is_open = self._open.seconds(
            view.seen_at_seconds,
            {
                number: part.readable_end
                for number, part in parts.items()
                if part.readable_end < part.end_offset
            },
        )
        strangers = [member for member in view.members if not member.is_worker]
        self._metrics.group(
            lag_records={number: part.lag_records for number, part in parts.items()},
            stalled_seconds={number: stalled.get(number, 0.0) for number in parts},
            open_transaction_seconds={number: is_open.get(number, 0.0) for number in parts},
            members=len(view.members),
            unknown_members=len(strangers),
        )
        self._health.warn("stalled_partition", stalled_partitions(stalled, parts, view.members))
        self._health.warn("open_transaction", open_transactions(is_open, parts))
        self._health.warn("unknown_member", unknown_members(self._group_id, strangers))
        self._note_transactions(is_open, parts)

    def _note_transactions(
        self, open_seconds: Mapping[int, float], parts: Mapping[int, PartitionLag]
    ) -> None:
        lasting = {
            Finding(
                "open_transaction", number, parts[number].readable_end, parts[number].readable_end
            )
            for number, seconds in open_seconds.items()
            if seconds >= LASTING_TRANSACTION_SECONDS
        } - self._noted
        if not lasting:
            return
        try:
            new = self._incidents.note(sorted(lasting), transaction_detail)
        except StorageError as error:
            self._log.warning("cannot note an incident", reason=str(error))
            return
        self._incidents.tell(new, transaction_detail)
        self._noted |= lasting
