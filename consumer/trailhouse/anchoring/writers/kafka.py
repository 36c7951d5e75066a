"""Anchors as records of a topic of one partition, in a Kafka that others run: the first of a number counts."""

from pathlib import Path
from urllib.parse import parse_qsl

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from trailhouse.proof.anchor import parse_anchor
from trailhouse.schemas.errors import AnchorError, ConfigError, ProofError

TIMEOUT_SECONDS = 15.0
MAX_CONFIG_BYTES = 65_536
_PARTITION = 0


class KafkaWriter:
    """Keeps anchors in ``topic?bootstrap_servers=host:9092``, or ``topic?config=/path``, a file for librdkafka.

    The topic needs one partition and unlimited retention (`retention.ms=-1`), and an ACL by which we may only read and
    append. Key and order tell the number: what is read is read from the start, once, and then on from where it was.
    """

    kind = "kafka"

    def __init__(self, place: str) -> None:
        topic, _, options = place.partition("?")
        given = dict(parse_qsl(options, keep_blank_values=True))
        servers, file = given.pop("bootstrap_servers", ""), given.pop("config", "")
        if given or not topic or bool(servers) == bool(file):
            raise ConfigError(
                "proof.anchors: `kafka:topic?bootstrap_servers=…` or `kafka:topic?config=/path`"
            )
        self.name = f"kafka:{place}"
        self._topic = topic
        self._settings = _settings(file) if file else {"bootstrap.servers": servers}
        self._kept: dict[int, bytes] = {}
        self._newest = 0
        self._next_offset = 0

    def write(self, number: int, content: bytes) -> bytes:
        """As `AnchorWriter.write`: acknowledged by all replicas, then read back: the first counts."""
        self._read_on()
        if number not in self._kept:
            self._append(number, content)
            self._read_on()
        kept = self._kept.get(number)
        if kept is None:
            raise AnchorError(f"{self.name}: an anchor that was acknowledged cannot be read back")
        return kept

    def read(self, number: int) -> bytes | None:
        """As `AnchorWriter.read`."""
        if number not in self._kept:
            self._read_on()
        return self._kept.get(number)

    def fault(self, number: int) -> str:
        """As `AnchorWriter.fault`: nothing is promised here."""
        return ""

    def newest(self) -> int:
        """As `AnchorWriter.newest`."""
        self._read_on()
        return self._newest

    def _append(self, number: int, content: bytes) -> None:
        failures: list[KafkaError] = []

        def note(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error)

        try:
            producer = Producer(
                {
                    **self._settings,
                    "acks": "all",
                    "enable.idempotence": True,
                    "message.timeout.ms": round(TIMEOUT_SECONDS * 1_000),
                    "message.max.bytes": 67_108_864,
                }
            )
            producer.produce(
                self._topic,
                key=str(number).encode(),
                value=content,
                partition=_PARTITION,
                on_delivery=note,
            )
            left = producer.flush(TIMEOUT_SECONDS)
        except (KafkaException, BufferError) as error:
            raise self._away(error) from None
        if left or failures:
            raise self._away(failures[0] if failures else None)

    def _read_on(self) -> None:
        """Take in what has been appended since."""
        try:
            consumer = Consumer(
                {
                    **self._settings,
                    "group.id": "trailhouse-anchors",
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                }
            )
        except KafkaException as error:
            raise self._away(error) from None
        try:
            consumer.assign([TopicPartition(self._topic, _PARTITION, self._next_offset)])
            while True:
                message = consumer.poll(TIMEOUT_SECONDS)
                if message is None:
                    self._see_that_it_is_there(consumer)
                    raise self._away(None)
                failure = message.error()
                if failure is None:
                    self._take(message.value() or b"")
                    self._next_offset = (message.offset() or 0) + 1
                elif failure.code() == KafkaError._PARTITION_EOF:
                    return
                else:
                    raise self._away(failure)
        except KafkaException as error:
            raise self._away(error) from None
        finally:
            consumer.close()

    def _see_that_it_is_there(self, consumer: Consumer) -> None:
        """Raise AnchorError where the cluster answers, and has no such topic: a consumer waits for one in silence."""
        told = consumer.list_topics(self._topic, timeout=TIMEOUT_SECONDS).topics[self._topic].error
        if told is not None and told.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise AnchorError(
                f"{self.name} cannot be used: there is no topic {self._topic!r}: make it, of one partition, with"
                " retention.ms=-1"
            )

    def _take(self, content: bytes) -> None:
        """Keep what is an anchor, as the first of its number; whoever may append can append anything."""
        try:
            number = parse_anchor(content)[0].number
        except ProofError:
            return
        self._kept.setdefault(number, content)
        self._newest = max(self._newest, number)

    def _away(self, error: object) -> AnchorError:
        cause = error.args[0] if isinstance(error, KafkaException) else error
        why = cause.name() if isinstance(cause, KafkaError) else "no answer in time"
        return AnchorError(f"{self.name} cannot be used ({why})")


def _settings(file: str) -> dict[str, str]:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            lines = opened.read(MAX_CONFIG_BYTES).splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"proof.anchors: the file {file} cannot be read") from None
    pairs = [
        line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#")
    ]
    if not all(found for _, found, _ in pairs):
        raise ConfigError(f"proof.anchors: a line of {file} is not `setting=value`")
    return {name.strip(): value.strip() for name, _, value in pairs}
