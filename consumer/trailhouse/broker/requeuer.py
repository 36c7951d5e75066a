"""Put records that were quarantined into the topic again: the same bytes, key and headers."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from trailhouse.schemas.errors import BrokerUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import FAULTS, settings_error
from trailhouse.schemas.topic import MAX_RECORD_BYTES

HEADER = "trailhouse-requeued-from"
"""Names where a requeued record stood: ``<topic id>:<partition>:<offset>``."""

TIMEOUT_SECONDS = 30.0
_POLL_SECONDS = 0.05
Note = Callable[[KafkaError | None, Message | None], None]
"""Called once for each record, with the error or with the message that Kafka has acknowledged."""


class Original(Protocol):
    """A record as it was; `Quarantined` is one."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def record(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Sent(NamedTuple):
    """What became of one record: its new place, or Kafka's name of the reason that it has none."""

    partition: int
    offset: int
    refusal: str | None


class Requeuer:
    """Sends to the topic with every in-sync replica's acknowledgement. Used by one thread.

    Raises:
        ConfigError: librdkafka does not take the settings. Permanent.
    """

    def __init__(self, kafka: KafkaConfig, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._topic = kafka.topic
        self._where = kafka.bootstrap_servers
        self._timeout_seconds = timeout_seconds
        options = kafka.client_options() | {
            "client.id": "trailhouse-requeue",
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",  # as the producer's: a session keeps its partition
            "message.timeout.ms": int(timeout_seconds * 1_000),
            "message.max.bytes": 2 * MAX_RECORD_BYTES,  # the broker decides, record by record
            "linger.ms": 5,
            "log_level": 0,
        }
        try:
            self._producer = Producer(options)
        except KafkaException as error:
            raise settings_error(error.args[0]) from error

    def send(self, originals: Sequence[tuple[Original, str]]) -> list[Sent]:
        """Send records, each with the place it stood at (empty for none), and return what became of each, in order.

        Delivery:
            Those without a refusal are in the topic. When it raises, some may be.

        Raises:
            BrokerUnavailableError: Kafka does not answer in time. Retriable: sent twice, it is read once.
        """
        outcomes: dict[int, Sent] = {}
        deadline = time.monotonic() + self._timeout_seconds + 1.0
        for number, (original, stood_at) in enumerate(originals):
            note = partial(_note, outcomes, number)
            self._wait(partial(self._is_taken, original, stood_at, note), deadline)
        self._wait(lambda: len(outcomes) == len(originals), deadline)
        refusals = {sent.refusal for sent in outcomes.values()} - {None}
        # What is not known may pass: nothing is called refused that can be sent again.
        if any(FAULTS.get(str(name), "unavailable") == "unavailable" for name in refusals):
            raise self._away()
        return [outcomes[number] for number in range(len(originals))]

    def _is_taken(self, original: Original, stood_at: str, note: Note) -> bool:
        """Hand over one record; False when librdkafka has no room for it yet."""
        # The original ones first, in their order; ours is added, and a second requeue adds another.
        headers: list[tuple[str, str | bytes | None]] = [*original.headers]
        if stood_at:
            headers.append((HEADER, stood_at.encode()))
        try:
            self._producer.produce(
                self._topic, original.record, original.key, headers=headers, on_delivery=note
            )
        except BufferError:
            return False
        except KafkaException as error:
            note(error.args[0], None)
        return True

    def _wait(self, is_done: Callable[[], bool], deadline: float) -> None:
        while not is_done():
            if time.monotonic() > deadline:
                raise self._away()
            self._producer.poll(_POLL_SECONDS)

    def _away(self) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"Kafka at {self._where} did not acknowledge within {self._timeout_seconds:g} s; some records may be in"
            " the topic: start it and requeue again, a record that is there twice is read once"
        )


def _note(
    outcomes: dict[int, Sent], number: int, error: KafkaError | None, message: Message | None
) -> None:
    if error is not None or message is None:
        outcomes[number] = Sent(-1, -1, error.name() if error else "UNKNOWN")
    else:
        partition, offset = message.partition(), message.offset()
        outcomes[number] = Sent(
            -1 if partition is None else partition, -1 if offset is None else offset, None
        )
