"""Looks at the whole group: the lag of all partitions, its members, open transactions.

Every worker looks now and then, whatever it has been assigned: a stranger who takes partitions may take any.
"""

import time
from collections.abc import Callable, Mapping

import msgspec
import structlog

from trailhouse.broker.group_members import GroupMember
from trailhouse.broker.offsets import PartitionLag
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.membership.group_warnings import (
    open_transactions,
    stalled_partitions,
    transaction_detail,
    unknown_members,
)
from trailhouse.consumer.monitoring.background_query import BackgroundQuery, SkipsWhileIdle
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.partition_stalls import PartitionStalls
from trailhouse.consumer.monitoring.stored_ends import StoredEnds
from trailhouse.schemas.errors import BrokerError, BrokerRejectedError, StorageError

FIRST_AFTER_SECONDS = 5.0
"""Not at once: a group that has just been joined is about to change, and a worker that begins has records to read."""
LOOK_EVERY_SECONDS = 15.0
LOOKS_A_WATCHDOG = 4
"""The watchdog holds positions against what was seen here, so it must be seen more often than it acts."""
LASTING_TRANSACTION_SECONDS = 60.0
"""Kafka ends a transaction after its producer's `transaction.timeout.ms`, by default a minute."""
IDLE_TURNS = 2
"""While nothing moves it is looked at each second time; a watchdog of two minutes is still told often enough."""
MAX_AGE_LOOKS = 3


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """The group as it was seen at one moment of the monotonic clock, or later."""

    seen_at_seconds: float
    partitions: Mapping[int, PartitionLag]
    members: tuple[GroupMember, ...]
    refusal: str | None
    """Why the members are not known, when they are not."""


class GroupCheck:
    """Looks on behalf of one membership; for one thread at a time."""

    def __init__(
        self,
        *,
        ask_kafka: Callable[[], TopicIdentity],
        group_id: str,
        watchdog_seconds: float,
        health: Health,
        metrics: WorkerMetrics,
        incidents: Incidents,
        stored_ends: StoredEnds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stored_ends = stored_ends
        self._ask_kafka = ask_kafka
        self._group_id = group_id
        # Often enough that a partition's standstill is seen several times before the watchdog acts on it.
        self._every_seconds = min(
            LOOK_EVERY_SECONDS, watchdog_seconds / LOOKS_A_WATCHDOG or LOOK_EVERY_SECONDS
        )
        self._health = health
        self._metrics = metrics
        self._incidents = incidents
        self._clock = clock
        self._stalls = PartitionStalls(2 * self._every_seconds)
        self._open = PartitionStalls(2 * self._every_seconds)
        self._noted: set[Incident] = set()
        self._is_waited_for = True
        self._log = structlog.get_logger("trailhouse.worker")

    def in_background(self, moved: Callable[[], object] = object) -> BackgroundQuery[GroupView]:
        """Return the question, to be started: it is asked often enough for the watchdog.

        Less often while what *moved* returns stays the same, and nothing waits in any partition.
        """

        def seen() -> object:
            is_waited_for = self._is_waited_for or self._stored_ends.is_waiting
            return object() if is_waited_for else moved()

        is_needed = SkipsWhileIdle(seen, IDLE_TURNS)
        return BackgroundQuery(
            self.look,
            name="group",
            every_seconds=self._every_seconds,
            first_after_seconds=min(FIRST_AFTER_SECONDS, self._every_seconds),
            is_needed=is_needed,
            max_age_seconds=MAX_AGE_LOOKS * self._every_seconds,
            on_answer=self.tell,
            # That Kafka is away is said on /health by whoever reads the topic.
            on_failure=lambda error: self._log.debug("cannot look at the group", reason=str(error)),
            clock=self._clock,
        )

    def look(self) -> GroupView:
        """Return the group as Kafka describes it now.

        Raises:
            BrokerError: Kafka does not answer (retriable) or refuses (permanent). Ask again.
        """
        seen_at_seconds = self._clock()
        members: tuple[GroupMember, ...] = ()
        refusal: str | None = None
        # A new client: one from before an outage may not answer for a minute.
        with self._ask_kafka() as admin:
            partitions = admin.lag(self._group_id)
            try:
                members = admin.members(self._group_id)
            except BrokerRejectedError as error:
                refusal = str(error)
        return GroupView(
            seen_at_seconds=seen_at_seconds,
            partitions={part.partition: part for part in partitions},
            members=members,
            refusal=refusal,
        )

    def tell(self, view: GroupView) -> None:
        """Show what was seen as metrics, warn of what is wrong, note open transactions and what is stored."""
        parts = view.partitions
        self._is_waited_for = any(part.lag_records for part in parts.values())
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
        # They are assigned partitions that then nobody stores.
        unknown = [member for member in view.members if not member.is_worker]
        self._metrics.group(
            lag_records={number: part.lag_records for number, part in parts.items()},
            stalled_seconds={number: stalled.get(number, 0.0) for number in parts},
            open_transaction_seconds={number: is_open.get(number, 0.0) for number in parts},
            members=len(view.members),
            unknown_members=len(unknown),
        )
        self._health.warn("group_unknown", view.refusal)
        self._health.warn("stalled_partition", stalled_partitions(stalled, parts, view.members))
        self._health.warn("open_transaction", open_transactions(is_open, parts))
        self._health.warn("unknown_member", unknown_members(self._group_id, unknown))
        self._note_transactions(is_open, parts)
        self._stored_ends.note(parts, view.seen_at_seconds)

    def look_last(self) -> None:
        """Note what is stored up to its end before the worker ends; where Kafka is away, nothing is."""
        asked_at_seconds = self._clock()
        try:
            with self._ask_kafka() as admin:
                parts = {part.partition: part for part in admin.lag(self._group_id)}
        except BrokerError as error:
            self._log.debug("cannot look at the group", reason=str(error))
            return
        self._stored_ends.note_last(parts, asked_at_seconds)

    def _note_transactions(
        self, open_seconds: Mapping[int, float], parts: Mapping[int, PartitionLag]
    ) -> None:
        lasting = {
            Incident(
                "open_transaction", number, parts[number].readable_end, parts[number].readable_end
            )
            for number, seconds in open_seconds.items()
            if seconds >= LASTING_TRANSACTION_SECONDS
            # The ledger knows it too; but it is not asked again at every look.
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
