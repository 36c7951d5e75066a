"""Reads what a worker that died may have died of: in a child process, which may die of it instead.

A range is read at the child's full speed. When the child dies, what is left is read again one batch and
one record at a time, so that it is certain which one is to blame: that one is quarantined, no other.
"""

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from trailhouse.broker.options import consumer_options
from trailhouse.broker.placeholder import Placeholder, Received, deadly
from trailhouse.consumer.batch.batch import Limits
from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.membership.poison_pills.inspection import PoisonPillInspection
from trailhouse.consumer.membership.poison_pills.subprocess_main import (
    LENGTH_BYTES,
    OUT_OF_MEMORY,
    Frame,
    Order,
)
from trailhouse.schemas.errors import BrokerError, StorageError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.ranges import Range

CHUNKS = 4
RETRY_SECONDS = 2.0
CHILD_MODULE = "trailhouse.consumer.membership.poison_pills.subprocess_main"
# -P: without it the child would import what lies in the working directory.
COMMAND = (sys.executable, "-P", "-m", CHILD_MODULE)
DONE, SILENT = "done", "silent"
DIED = "a process that read it died"
DIED_DECODING = "a process that decoded it died"


class SentRecord(NamedTuple):
    """A record as the child handed it over; its headers are left behind."""

    number: int
    place: int
    stamp: tuple[int, int]
    key_bytes: bytes | None
    value_bytes: bytes | None

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return self.stamp

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def headers(self) -> object:
        return None


class Chunk(NamedTuple):
    """Records of partitions in order, or one placeholder; *through* are partitions of which no more comes."""

    records: list[Received]
    placeholder: Placeholder | None = None
    through: tuple[int, ...] = ()


class SubprocessReader:
    """Reads ranges in a thread of its own and keeps few chunks in hand. Used by one other thread."""

    def __init__(
        self,
        kafka: KafkaConfig,
        worker: WorkerConfig,
        ranges: Mapping[int, Range],
        inspection: PoisonPillInspection,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._kafka = kafka
        self._command = command
        self._options = consumer_options(kafka, worker.group_id, worker.session_timeout_seconds)
        self._limits = Limits.of(worker)
        self._left = dict(ranges)
        self._inspection = inspection
        self._chunks: queue.Queue[Chunk] = queue.Queue(CHUNKS)
        self._blamed: tuple[int, int] | None = None
        self._error: Exception | None = None
        self._log = structlog.get_logger("trailhouse.worker")
        self._dropped = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        # The worker's thread must go on reading the other partitions, and be heard of by the group.
        threading.Thread(target=self._run, name="trailhouse-isolated", daemon=True).start()

    def take(self) -> Chunk | None:
        """Return the next chunk, None when there is none yet. Does not block.

        Raises:
            Exception: A mistake of the program ended the reading.
        """
        if self._error is not None:
            raise self._error
        try:
            return self._chunks.get_nowait()
        except queue.Empty:
            return None

    def drop(self) -> None:
        """Read no more; nobody takes the rest."""
        self._dropped.set()
        if self._child is not None:
            self._child.kill()

    def _run(self) -> None:
        try:
            self._read_all()
        except Exception as error:  # noqa: BLE001 - raised again where the chunks are taken
            self._error = error

    def _read_all(self) -> None:
        # Most workers that die do so for another reason: then all is read at full speed, by one child.
        if self._read(list(self._left), is_careful=False) != DONE:
            for number in list(self._left):
                self._read_carefully(number)
        self._put(Chunk([], through=tuple(self._left)))

    def _read_carefully(self, number: int) -> None:
        """Read one partition to the end of its range, whatever it holds."""
        is_careful = False
        while number in self._left and not self._dropped.is_set():
            before = self._left[number].first
            ended = self._read([number], is_careful=is_careful)
            is_stuck = number in self._left and self._left[number].first == before
            # Nobody knows why; to blame a record for it would lose one.
            if ended == SILENT:
                self._dropped.wait(RETRY_SECONDS)
            elif ended == DIED_DECODING:
                is_careful = is_stuck
            elif ended == DIED and not (is_careful and is_stuck):
                is_careful = True
            elif ended != DONE:
                self._get_past(number, ended)
                is_careful = False

    def _get_past(self, number: int, why: str) -> None:
        while number in self._left and not self._dropped.is_set():
            try:
                placeholder, offset = self._inspection.passage(
                    number, self._left[number].first, why
                )
            except (BrokerError, StorageError):
                self._dropped.wait(RETRY_SECONDS)
                continue
            if placeholder is not None:
                self._put(Chunk([], placeholder))
            self._advance(number, offset)
            return

    def _read(self, numbers: list[int], *, is_careful: bool) -> str:
        """Have a child read *numbers*; return how it ended, or librdkafka's name of what it cannot open."""
        ranges = {number: (self._left[number].first, self._left[number].last) for number in numbers}
        order = msgspec.msgpack.encode(
            Order(self._kafka.topic, self._options, self._limits, ranges, is_careful)
        )
        begun: list[SentRecord] = []
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=nowhere) as child:
            self._child = child
            if self._dropped.is_set():  # before there was a child to be killed
                child.kill()
            for frame in _frames(child, order):
                if frame.ended == DONE:
                    for number in numbers:
                        self._left.pop(number, None)
                    self._put(Chunk([], through=tuple(numbers)))
                if frame.ended is not None:
                    return frame.why or frame.ended
                if frame.is_decoded:
                    self._hand_over(begun)
                    begun = []
                else:
                    begun = [SentRecord(*each) for each in frame.records]
        # Not killed by a signal: it failed, as when Kafka is away, and no record is to blame.
        if child.returncode >= 0 and child.returncode != OUT_OF_MEMORY:
            self._log.error("isolated reading failed, trying again", exit_code=child.returncode)
            return SILENT
        if not (is_careful and begun):
            return DIED
        if (
            self._blamed == begun[0][:2]
        ):  # twice, since it may have died of what it fetched meanwhile
            self._quarantine(deadly(begun[0], DIED))
        self._blamed = begun[0][:2]
        return DIED_DECODING

    def _quarantine(self, placeholder: Placeholder) -> None:
        while not self._dropped.is_set():
            try:
                self._inspection.note(placeholder)
            except StorageError:
                self._dropped.wait(RETRY_SECONDS)
                continue
            self._put(Chunk([], placeholder))
            self._advance(placeholder.number, placeholder.last_offset + 1)
            return

    def _hand_over(self, records: list[SentRecord]) -> None:
        self._put(Chunk(list(records)))
        for number in {record.number for record in records}:
            last = max(record.place for record in records if record.number == number)
            self._advance(number, last + 1)

    def _advance(self, number: int, offset: int) -> None:
        if offset > self._left[number].last:
            del self._left[number]
            self._put(Chunk([], through=(number,)))
        else:
            self._left[number] = Range(offset, self._left[number].last)

    def _put(self, chunk: Chunk) -> None:
        while not self._dropped.is_set():
            try:
                self._chunks.put(chunk, timeout=0.5)
            except queue.Full:
                continue
            return


def _frames(child: subprocess.Popen[bytes], order: bytes) -> Iterator[Frame]:
    """Give the child its order and yield what it says, until it has ended."""
    if child.stdin is None or child.stdout is None:
        return
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(order)
        child.stdin.close()
    decode = msgspec.msgpack.Decoder(Frame).decode
    while len(head := child.stdout.read(LENGTH_BYTES)) == LENGTH_BYTES:
        size = int.from_bytes(head, "big")
        content = child.stdout.read(size)
        if len(content) < size:
            return
        yield decode(content)
