"""Kafka records made by hand, and a clock that is turned by hand, for the worker's pure parts."""

from collections.abc import Sequence

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from trailhouse.consumer.batch.batch import Batch, Limits


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_seconds = 100.0

    def __call__(self) -> float:
        return self.now_seconds


class Record:
    """A Kafka record made by hand."""

    def __init__(
        self,
        value: bytes | None,
        partition: int = 0,
        offset: int = 0,
        appended_ms: int = 1_790_000_000_000,
        *,
        is_sender_timed: bool = False,
    ) -> None:
        self._value = value
        self._kind = TIMESTAMP_CREATE_TIME if is_sender_timed else TIMESTAMP_LOG_APPEND_TIME
        self._place = (partition, offset, appended_ms)

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def timestamp(self) -> tuple[int, int]:
        return self._kind, self._place[2]

    def key(self) -> bytes | None:
        return b"key"

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> object:
        return [("h", b"\xff"), ("n", None)]


def empty_batch(rows: int = 1_000, size_bytes: int = 1_000_000) -> tuple[Batch, Clock]:
    """Return an empty batch and the clock it goes by."""
    clock = Clock()
    return Batch(Limits(rows, size_bytes), clock), clock


def batch_of(values: Sequence[bytes | None], partition: int = 0) -> Batch:
    """Return a batch of records at the offsets 0, 1, 2 … of one partition."""
    batch, _ = empty_batch()
    batch.add([Record(value, partition, offset) for offset, value in enumerate(values)])
    return batch
