"""Takes messages from a consumer, no more at once than memory can bear.

librdkafka inflates a batch as a whole, so that one of some kilobytes may take a gigabyte, and
confluent-kafka copies each message that it hands over. While the process is swollen by such a batch,
messages are taken one by one.
"""

import os
import resource
from pathlib import Path

from confluent_kafka import Consumer, Message

SWOLLEN_BYTES = 268_435_456
_PAGE_BYTES = resource.getpagesize()
_STATM = Path("/proc/self/statm")


class BoundedConsumer:
    """Reads for one consumer. `batch_bytes` is what batches in hand may take by themselves."""

    def __init__(self, consumer: Consumer, batch_bytes: int) -> None:
        self._consumer = consumer
        self._file = os.open(_STATM, os.O_RDONLY) if _STATM.exists() else None
        self._limit_bytes = _resident_bytes(self._file) + SWOLLEN_BYTES + 8 * batch_bytes

    def take(self, records: int, timeout_seconds: float) -> list[Message]:
        """Return up to *records* messages: it waits for the first alone and adds what lies ready.

        Raises:
            KafkaException: The consumer failed.
        """
        messages = self._consumer.consume(1, timeout_seconds)
        # Asked of the kernel each time: librdkafka does not say how much it holds.
        if messages and records > 1 and _resident_bytes(self._file) < self._limit_bytes:
            messages += self._consumer.consume(records - 1, 0)
        return messages

    def close(self) -> None:
        """Let go of the file that is asked."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _resident_bytes(file: int | None) -> int:
    """Return how much memory this process has; 0 where the system does not say so at once."""
    return 0 if file is None else int(os.pread(file, 128, 0).split()[1]) * _PAGE_BYTES
