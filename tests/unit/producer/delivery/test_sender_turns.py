"""How often the sender wakes: by batches and by need, on a clock that the test turns."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from trailhouse.producer import ProducerConfig
from trailhouse.producer.clock import Clock
from trailhouse.producer.delivery import sender as sender_module
from trailhouse.producer.delivery import spool_care
from trailhouse.producer.delivery.linger import BATCH_SECONDS, FULL_BYTES
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.delivery.sender import REST_SECONDS, Sender
from trailhouse.producer.delivery.wake_signal import WakeSignal
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.spool.queue import SpoolQueue
from trailhouse.schemas import KafkaConfig
from waiting import DEADLINE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORD = b"r" * 537
NOWHERE = KafkaConfig(bootstrap_servers="127.0.0.1:1")


class Answer(NamedTuple):
    """A delivered message, as far as the sender asks it."""

    place: int

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.place


class AnsweringProducer:
    """A broker client whose broker answers at once; the callbacks come with the next poll."""

    polls: int
    handed_over: list[float]
    full_until_seconds: float

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.answers: list[Callable[..., None]] = []

    def produce(
        self, topic: str, value: bytes, key: bytes, on_delivery: Callable[..., None]
    ) -> None:
        now_seconds = day.now_seconds if (day := Day.running) else 0.0
        if now_seconds < self.full_until_seconds:
            raise BufferError
        self.answers.append(on_delivery)
        self.handed_over.append(now_seconds)

    def poll(self, timeout: float) -> int:
        type(self).polls += 1
        answers, self.answers = self.answers, []
        for number, answer in enumerate(answers):
            answer(None, Answer(number))
        return len(answers)

    def purge(self, *, blocking: bool = True) -> None:
        self.answers.clear()

    def __len__(self) -> int:
        return len(self.answers)


class Day(WakeSignal):
    """What comes while the sender sleeps: whoever waits for it turns the clock, event by event, to the day's end."""

    running: Day | None = None

    def __init__(self, config: ProducerConfig, arrivals: Iterator[float], end: float) -> None:
        super().__init__()
        self.now_seconds = 0.0
        self.logged_at: list[float] = []
        self.sleeps: list[float] = []
        self._arrivals, self._end = arrivals, end
        self._next = next(arrivals, end)
        self._is_over, self._has_signal = threading.Event(), False
        clock = Clock(lambda: self.now_seconds, lambda: round(self.now_seconds * 1e9))
        on_disk = SpoolQueue(config, "test", clock) if config.mode == "durable" else None
        self.queue = SendQueue(config.queue_events, config.queue_bytes, on_disk, clock)
        self.queue.wake_signal = self
        self.sender = Sender(config, self.queue, adopts=False)

    def send(self) -> None:
        self._has_signal = True
        if self._is_over.is_set():
            super().send()

    def wait(self, seconds: float) -> bool:
        until = self.now_seconds + seconds
        self.sleeps.append(seconds)
        while not self._has_signal and self._next <= min(until, self._end):
            self.now_seconds = self._next
            self._next = next(self._arrivals, float("inf"))
            self._log()
        if self._has_signal:
            self._has_signal = False
            return True
        self.now_seconds = until
        if until >= self._end:
            self._is_over.set()
            return super().wait(DEADLINE_SECONDS)  # for the sender's end
        return False

    def _log(self) -> None:
        with self.queue.mutex:
            newest = self.queue.journal.newest()
            self.queue.journal.append(newest, newest.seq + 1, "id", b"session", RECORD)
            self.logged_at.append(self.now_seconds)
            self.queue.note_arrival(len(RECORD))

    def pass_by(self) -> Day:
        """Have the sender live through it; return when it is over."""
        Day.running = self
        try:
            self.sender.start()
            assert self._is_over.wait(DEADLINE_SECONDS), "expected the day to end"
        finally:
            self.sender.stop()
            Day.running = None
        return self

    def longest_wait_seconds(self) -> float:
        """Return how long an event waited at most until it was handed over."""
        handed_over = AnsweringProducer.handed_over
        assert len(handed_over) == len(self.logged_at), "expected each event to be handed over once"
        return max(at - came for came, at in zip(self.logged_at, handed_over, strict=True))


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> type[AnsweringProducer]:
    """Put a client in the sender's hands whose broker always answers; return its class, which counts."""
    AnsweringProducer.polls, AnsweringProducer.handed_over = 0, []
    AnsweringProducer.full_until_seconds = 0.0
    monkeypatch.setattr(sender_module, "Producer", AnsweringProducer)
    return AnsweringProducer


def at_a_rate(events_a_second: float, seconds: float, since: float = 0.0) -> Iterator[float]:
    """Yield when each event comes."""
    for number in range(round(events_a_second * seconds)):
        yield since + number / events_a_second


@pytest.mark.parametrize(
    ("events_a_second", "most_wakes_a_second"), [(1, 3), (10, 4), (100, 4), (1_000, 12)]
)
def test_the_sender_wakes_by_batches(
    events_a_second: int, most_wakes_a_second: int, broker: type[AnsweringProducer]
) -> None:
    """However many events come, it wakes and polls a few times a batch, and none waits longer than the linger."""
    config = ProducerConfig(kafka=NOWHERE, mode="memory")
    seconds = 20
    day = Day(config, at_a_rate(events_a_second, seconds), seconds + 1).pass_by()

    assert len(day.sleeps) <= most_wakes_a_second * seconds
    assert broker.polls <= len(day.sleeps) + 1
    assert day.longest_wait_seconds() <= config.linger_seconds
    assert day.queue.stats().acknowledged_total == events_a_second * seconds


def test_a_stream_waits_a_short_while() -> None:
    """Where a batch is worth its request before the linger ends, it goes before."""
    day = Day(ProducerConfig(kafka=NOWHERE), at_a_rate(1_000, 5), 6).pass_by()
    assert day.longest_wait_seconds() <= BATCH_SECONDS + 1e-6


def test_a_burst_does_not_wait_for_the_linger() -> None:
    """After an hour of nothing a hundred thousand events in a second are handed over as they come."""
    config = ProducerConfig(
        kafka=NOWHERE, mode="memory", linger_seconds=900, queue_bytes=100_000_000
    )
    day = Day(config, at_a_rate(100_000, 1, since=3_600), 3_700).pass_by()

    full_at = 3_600 + 100_000 * len(RECORD) // FULL_BYTES * FULL_BYTES / len(RECORD) / 100_000
    waits = [
        at - came
        for came, at in zip(day.logged_at, AnsweringProducer.handed_over, strict=False)
        if came < full_at
    ]
    assert max(waits) <= 2 * FULL_BYTES / len(RECORD) / 100_000


def test_a_logger_with_nothing_to_do_sleeps(broker: type[AnsweringProducer]) -> None:
    """When its event is acknowledged and on the disk, it looks up every few seconds, and does nothing."""
    hour = 3_600.0
    day = Day(ProducerConfig(kafka=NOWHERE), iter([0.0]), hour).pass_by()

    assert day.queue.stats().acknowledged_total == 1
    assert len(day.sleeps) <= hour / REST_SECONDS + 10


def test_what_is_logged_is_forced_to_the_disk_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A linger longer than the interval of `fsync` delays the batch alone."""
    days: list[Day] = []
    synced_at: list[float] = []

    def note(files: list[int]) -> None:
        if files:
            synced_at.append(days[0].now_seconds)
        for file in files:
            os.close(file)

    monkeypatch.setattr(spool_care, "sync", note)
    config = ProducerConfig(kafka=NOWHERE, linger_seconds=900, fsync_interval_seconds=2)
    days.append(Day(config, iter([1.0, 10.5, 20.25]), 100))
    days[0].pass_by()

    for came in days[0].logged_at:
        at = next((at for at in synced_at if at >= came), None)
        assert at is not None, f"expected what came at {came} s to be forced to the disk"
        assert at - came <= config.fsync_interval_seconds + 1e-6


def test_a_client_that_is_full_is_offered_again(broker: type[AnsweringProducer]) -> None:
    """What it does not take is handed over soon after it does again, whatever is done for the spool meanwhile."""
    broker.full_until_seconds = 5.0
    config = ProducerConfig(kafka=NOWHERE, fsync_interval_seconds=0.02)
    day = Day(config, iter([1.0, 2.0]), 6).pass_by()

    assert broker.handed_over == pytest.approx([5.0, 5.0], abs=0.1)
    assert day.queue.stats().acknowledged_total == 2


@pytest.mark.parametrize("mode", ["durable", "memory"])
def test_somebody_who_waits_has_the_answer_at_once(mode: str) -> None:
    """An event that waits for others goes when its answer is awaited, however long the linger."""
    config = ProducerConfig(kafka=NOWHERE, mode=mode, linger_seconds=900)
    on_disk = SpoolQueue(config, "test") if mode == "durable" else None
    queue = SendQueue(config.queue_events, config.queue_bytes, on_disk)
    sender = Sender(config, queue, adopts=False)
    sender.start()
    try:
        for _ in range(3):
            with queue.mutex:
                newest = queue.journal.newest()
                queued = queue.journal.append(newest, newest.seq + 1, "id", b"session", RECORD)
                assert queued is not None
                queue.note_arrival(len(RECORD))
            assert Receipt(queue, queued).result(DEADLINE_SECONDS).topic == config.kafka.topic
    finally:
        sender.stop()
