"""Finds out what stands where a partition cannot be read, and writes it down before it is passed over."""

from collections.abc import Callable
from typing import NamedTuple

from trailhouse.broker.batch_headers import batch_at
from trailhouse.broker.placeholder import Placeholder, unreadable
from trailhouse.consumer.batch.incidents import Incidents
from trailhouse.consumer.batch.ledger import NO_LIMIT, Ledger
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.schemas.errors import UnreadableBatchError
from trailhouse.schemas.kafka_config import KafkaConfig

FETCH_SECONDS = 10.0


class Passage(NamedTuple):
    """How a partition goes on: what is quarantined, if anything, and from which offset it is read then."""

    placeholder: Placeholder | None
    next_offset: int


class PoisonPillInspection:
    """Looks at batches that cannot be opened. Its methods block, and may be called again."""

    def __init__(self, kafka: KafkaConfig, ledger: Ledger, incidents: Incidents) -> None:
        self._kafka = kafka
        self._ledger = ledger
        self._incidents = incidents

    def passage(self, partition: int, offset: int, why: str) -> Passage:
        """Return how to get past what cannot be read at *offset*: its incident is written on return.

        Raises:
            StorageError, BrokerError: ClickHouse or Kafka is away (retriable) or refuses (permanent).
            UnreadableBatchError: The batch's end is not to be seen yet. Retriable.
        """
        # Not the ledger alone: where records are read again it has those around it too, and they can be read.
        noted = self._ledger.noted(Incident("skipped", partition, offset, offset))
        skipped = noted & self._ledger.covered({partition: (offset, NO_LIMIT)})[partition]
        if offset in skipped:  # an operator has passed it over meanwhile
            last = next(part.last for part in skipped if part.first <= offset <= part.last)
            return Passage(None, last + 1)
        batch = batch_at(self._kafka, partition, offset, timeout_seconds=FETCH_SECONDS)
        # It is gone or was never there: read on, and librdkafka says which.
        if batch is None:
            return Passage(None, offset)
        if batch.last_offset is None:
            raise UnreadableBatchError(
                f"partition {partition}: the batch at offset {offset} is damaged ({why}), and its end is not"
                " to be seen before another follows; `trailhouse skip` passes it over"
            )
        placeholder = unreadable(partition, offset, batch, why)
        self.note(placeholder)
        return Passage(placeholder, placeholder.last_offset + 1)

    def note(self, placeholder: Placeholder) -> None:
        """Write down that *placeholder* is passed over; acknowledged on return.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent); note it again.
        """
        found = Incident(
            "unreadable", placeholder.number, placeholder.first_offset, placeholder.last_offset
        )
        self._incidents.tell(
            self._incidents.note([found], _reason(placeholder)), _reason(placeholder)
        )


def _reason(placeholder: Placeholder) -> Callable[[Incident], str]:
    return lambda _: (
        f"{placeholder.reason}; it is in quarantine, and the partition goes on after it"
    )
