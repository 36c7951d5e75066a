"""Where the worker's partitions begin: Kafka's offsets held against the ledger, before anything is read.

What does not fit is written to `event_incidents`, acknowledged, before anybody acts on it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from trailhouse.broker.offsets import PartitionLag
from trailhouse.broker.origin import Origin
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.log_truncation import StoredPart
from trailhouse.consumer.membership.source import HOLDER
from trailhouse.consumer.membership.start_decision import (
    PartitionState,
    StartDecision,
    decide_start,
)
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.proof_log.restore import Restored
from trailhouse.schemas.errors import OffsetGapError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range, Ranges

SHOWN_RANGES = 4
SUSPECT_OFFSETS = 100_000
"""So far above its last commit, or less, was whatever a worker had in hand or fetched when it died."""


RestoreLogs = Callable[[Mapping[int, int], Mapping[int, int]], Mapping[int, Restored]]
"""`LogRestorer.restored`."""
CutAt = Callable[[Mapping[int, StoredPart]], Mapping[int, int]]
"""`LogTruncation.cut_at`."""


class Starts(NamedTuple):
    """Where to read each partition from; `verified` are those whose start is committed and in the ledger.

    Of `suspects` the last reader did not stop in order: it may have died of what lies in these ranges.
    In those `markable` a commit at the start says nothing untrue: that something is stored below it.
    """

    offsets: Mapping[int, int]
    verified: Collection[int]
    suspects: Mapping[int, Range] = {}
    markable: Collection[int] = ()
    logs: Mapping[int, Restored] = {}
    """The log of each partition, as it stands at its start."""
    floors: Mapping[int, int] = {}
    """What is committed and stored above a start: records that are read again only for their leaves."""


class OffsetCheck:
    """Asks Kafka and the ledger for one membership. Its methods block, and may be called again."""

    def __init__(
        self,
        *,
        kafka: KafkaConfig,
        worker: WorkerConfig,
        ask_kafka: Callable[[], TopicIdentity],
        ledger: Ledger,
        origin: Origin,
        incidents: Incidents,
        cut_at: CutAt = lambda _parts: {},
        restore_logs: RestoreLogs = lambda _starts, _log_starts: {},
    ) -> None:
        self._kafka = kafka
        self._worker = worker
        self._ask_kafka = ask_kafka
        self._ledger = ledger
        self._origin = origin
        self._incidents = incidents
        self._cut_at = cut_at
        self._restore_logs = restore_logs

    def starts(
        self, partitions: Sequence[int], suspect_offsets: Mapping[int, int] | None = None
    ) -> Starts | None:
        """Return where to read *partitions* from, or None when the topic is no longer the one it was.

        *suspect_offsets* are offsets above which the ledger was seen to lack records that had been stored.

        Raises:
            OffsetGapError: Records have expired that nobody stored, in a partition that was read before,
                and `on_gap` is ``stop``. Permanent.
            StorageError, BrokerError: ClickHouse or Kafka is away (retriable) or refuses (permanent). Ask again.
        """
        # A new client: one from before an outage may not answer for a minute.
        with self._ask_kafka() as admin:
            if admin.origin(self._kafka) != self._origin:
                return None
            every = admin.lag(self._worker.group_id)
        mine = set(partitions)
        offsets = [part for part in every if part.partition in mine]
        states = self._held_against_kafka(self._states(offsets, suspect_offsets or {}))
        decisions = {place.partition: decide_start(place) for place in states}
        wanted = {number: decision.start for number, decision in decisions.items()}
        logs = self._logs(decisions, {place.partition: place.log_start for place in states})
        findings = self._confirmed(
            [found for decision in decisions.values() for found in decision.findings]
        )
        # Written down before anything is read: whoever decides later must find it, even if we die now.
        self._note_unproven(logs, findings)
        self._note_given_up(logs)
        self._tell(findings, {place.partition for place in states if place.is_never_read})
        starts = _starts(offsets, decisions, wanted)
        floors = {
            number: wanted[number]
            for number, log in logs.items()
            if number in starts.verified and not log.is_rewound
        }
        return starts._replace(logs=logs, floors=floors)

    def _logs(
        self, decisions: dict[int, StartDecision], log_starts: Mapping[int, int]
    ) -> Mapping[int, Restored]:
        """Return the logs where the partitions are read on; of one that lacks leaves that is further below."""
        wanted = {number: decision.start for number, decision in decisions.items()}
        logs = self._restore_logs(wanted, log_starts)
        for number, log in logs.items():
            if log.start < wanted[number]:
                lost = Incident("rewound", number, log.start, wanted[number] - 1)
                findings = decisions[number].findings + ((lost,) if log.is_rewound else ())
                decisions[number] = StartDecision(log.start, findings)
        return logs

    def _tell(self, findings: Sequence[Incident], never_read: Collection[int]) -> None:
        """Note what was found, and raise where somebody must decide about it."""
        read_before = [found for found in findings if found.partition not in never_read]
        history = [found for found in findings if found.partition in never_read]
        self._incidents.note(read_before, _detail)
        self._incidents.tell(read_before, _detail)  # at each start: it asks for a decision
        self._incidents.tell(self._incidents.note(history, _history), _history)
        expired = [found for found in read_before if found.kind == "expired"]
        if expired and self._worker.on_gap == "stop":
            raise OffsetGapError(self._gap(expired))

    def _note_unproven(self, logs: Mapping[int, Restored], findings: Sequence[Incident]) -> None:
        """Note what lies below the start of a log that is new, but for what is gone from Kafka."""
        expired = [found for found in findings if found.kind == "expired"]
        found = [
            Incident("unproven", number, *span)
            for number, log in logs.items()
            for span in log.unproven
            - Ranges(each[2:] for each in expired if each.partition == number)
        ]
        if found:
            self._incidents.put(found, _unproven)

    def _note_given_up(self, logs: Mapping[int, Restored]) -> None:
        found = [
            Incident("unproven", number, *span)
            for number, log in logs.items()
            for span in log.given_up
        ]
        self._incidents.tell(self._incidents.note(found, _given_up), _given_up)

    def forgotten(self, stored: Mapping[int, Sequence[tuple[int, int]]]) -> dict[int, int]:
        """Return, for each partition of which the ledger has lost something, from where on it has.

        Args:
            stored: Ranges of offsets, both ends inclusive, whose ledger rows were acknowledged once.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent). Ask again.
        """
        expected = {number: Ranges(spans) for number, spans in stored.items() if spans}
        ends = {number: (mine.first or 0, mine.last or 0) for number, mine in expected.items()}
        covered = self._ledger.covered(ends)
        lost: dict[int, int] = {}
        for number, mine in expected.items():
            # To be read again from the end of the last batch before the gap, and not from the gap's own start.
            missing = (mine - covered[number]).first
            if missing is not None:
                lost[number] = self._ledger.until({number: missing}).get(number, 0)
        return lost

    def _states(
        self, offsets: Sequence[PartitionLag], suspect_offsets: Mapping[int, int]
    ) -> list[PartitionState]:
        committed = {part.partition: part.committed_offset for part in offsets}
        last = {number: (end - 1, end - 1) for number, end in committed.items() if end}
        covered = self._ledger.covered(last)
        stored: dict[int, int] = {
            number: end for number, end in committed.items() if end and covered[number]
        }
        open_ones = {
            number: end for number, end in committed.items() if number not in stored and end != 0
        }
        stored |= self._ledger.until(open_ones) | dict(suspect_offsets)
        unknown_partitions = committed.keys() - stored.keys()
        if unknown_partitions:
            unknown_partitions -= self._ledger.knows(unknown_partitions)
        earlier = self._ledger.earlier(unknown_partitions) if unknown_partitions else {}
        return [
            PartitionState(
                part.partition,
                part.committed_offset,
                part.first_offset,
                part.end_offset,
                stored.get(part.partition),
                earlier.get(part.partition),
            )
            for part in offsets
        ]

    def _held_against_kafka(self, states: Sequence[PartitionState]) -> list[PartitionState]:
        """Return *states* with where Kafka's logs were cut off below what is committed and stored."""
        stored = {
            each.partition: StoredPart(each.log_start, each.log_end, each.committed)
            for each in states
            if each.committed and each.stored_until == each.committed
        }
        cut_at = self._cut_at(stored) if stored else {}
        return [each._replace(cut_at=cut_at.get(each.partition)) for each in states]

    def _confirmed(self, findings: Sequence[Incident]) -> list[Incident]:
        """Take out of the expired ranges what the ledger has."""
        confirmed = [found for found in findings if found.kind != "expired"]
        for found in findings:
            if found.kind == "expired":
                span = (found.first_offset, found.last_offset)
                missing = (
                    Ranges([span]) - self._ledger.covered({found.partition: span})[found.partition]
                )
                confirmed += [Incident("expired", found.partition, *part) for part in missing]
        return confirmed

    def _gap(self, expired: Sequence[Incident]) -> str:
        shown = "; ".join(
            f"partition {found.partition}: offsets {found.first_offset} to {found.last_offset}"
            for found in expired[:SHOWN_RANGES]
        )
        more = f" and {len(expired) - SHOWN_RANGES} more" if len(expired) > SHOWN_RANGES else ""
        return (
            f"records of topic {self._kafka.topic} are gone from Kafka and were never stored ({shown}{more});"
            " they are listed in the view `incidents`: to accept their loss start with"
            " TRAILHOUSE_WORKER_ON_GAP=record, which goes on with the oldest record that is left;"
            " raise the topic's retention.ms against the next time; `trailhouse reconcile` shows every gap,"
            " kafka-consumer-groups --describe the group's offsets"
        )


def _starts(
    offsets: Sequence[PartitionLag],
    decisions: Mapping[int, StartDecision],
    wanted: Mapping[int, int],
) -> Starts:
    """Return where to read from by *decisions*; *wanted* is where that would be if nothing were read again."""
    starts = {number: decision.start for number, decision in decisions.items()}
    return Starts(
        starts,
        {part.partition for part in offsets if part.committed_offset == wanted[part.partition]},
        {
            part.partition: Range(
                start, min(part.readable_end, wanted[part.partition] + SUSPECT_OFFSETS) - 1
            )
            for part in offsets
            # Whoever stopped in order has left its name empty; our own is that of a rebalance that we survived.
            if part.holder not in {"", HOLDER}
            and (start := starts[part.partition]) < part.readable_end
        },
        {
            part.partition
            for part in offsets
            if part.committed_offset is not None or starts[part.partition] == 0
        },
    )


def _detail(found: Incident) -> str:
    match found.kind:
        case "expired":
            return "Kafka has deleted these records, and nobody had stored them"
        case "rewound":
            return (
                "committed, but not in the ledger, or without leaves in the log (a restored ClickHouse, or"
                " offsets that somebody moved): read again from Kafka"
            )
        case "truncated":
            return (
                "what was stored of these offsets Kafka has no longer, as after an unclean election: what it has in"
                " their place, or will have, is read too; what was acknowledged and not stored yet is lost, see"
                " `trailhouse account`"
            )
        case _:
            return (
                "these offsets are of another topic of this name, or of a log that Kafka has cut off:"
                " the topic is read from its start"
            )


def _unproven(_found: Incident) -> str:
    return "this partition's log begins above: what was read until then has no leaf, and no proof"


def _given_up(_found: Incident) -> str:
    return (
        "no key of the log has signed these leaves, and Kafka no longer has their records: the log goes on above them"
        " as a new generation, and nothing vouches for them; run `trailhouse verify`"
    )


def _history(_found: Incident) -> str:
    return "Kafka had deleted these records before anything of this partition was ever read"
