"""The sender: hands the send queue to librdkafka in order, and starts over when the broker refuses."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer

from trailhouse.producer.delivery.linger import NEVER_BYTES, SHORTEST_SECONDS, Linger, Pause
from trailhouse.producer.delivery.spool_care import SpoolCare
from trailhouse.producer.spool.frame import MAX_RECORD_BYTES
from trailhouse.producer.spool.queued_event import Delivery
from trailhouse.schemas.backoff import Backoff
from trailhouse.schemas.codec import decode_envelope
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    DeliveryRejectedError,
)
from trailhouse.schemas.kafka_errors import REFUSALS, fault_of, one_line

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from trailhouse.producer.config import ProducerConfig
    from trailhouse.producer.delivery.send_queue import SendQueue
    from trailhouse.producer.spool.queued_event import QueuedEvent

log = logging.getLogger(__name__)

TURN_SECONDS = 0.005
IDLE_SECONDS = 0.1
REST_SECONDS = 5.0
"""How long one sleeps that has nothing to do: for what librdkafka tells, and a call of `log` that was broken off."""
PURGE_SECONDS = 5.0
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 5.0
KAFKA_OVERHEAD_BYTES = 4_096
MOST_AT_ONCE = 4_096
"""Events that are handed over under one hold of the lock, which a caller, and an event loop, may wait for: some ms."""


def client_options(config: ProducerConfig) -> dict[str, Any]:
    """Return librdkafka's options: nothing is given up by itself, and order is kept."""
    return config.kafka.client_options() | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as Java clients partition
        "message.timeout.ms": 0,
        "compression.type": "lz4",
        # An event has waited for our turn already; this is for those of one turn to come together.
        "linger.ms": SHORTEST_SECONDS * 1_000,
        # The broker decides: what another logger has left may be larger than our own limit.
        "message.max.bytes": MAX_RECORD_BYTES + KAFKA_OVERHEAD_BYTES,
        "batch.size": config.max_event_bytes + KAFKA_OVERHEAD_BYTES,
        # The send queue is the bound: librdkafka's own must never be the tighter one.
        "queue.buffering.max.messages": config.queue_events + 1,
        "queue.buffering.max.kbytes": 2_097_151,
        # An unknown topic fails after this, not after librdkafka's 30 s.
        "topic.metadata.propagation.max.ms": 5_000,
        "reconnect.backoff.max.ms": 2_000,
        "client.id": "trailhouse-producer",
        "log_level": 0,  # states are logged once, by us
    }


class Sender:
    """Owns one librdkafka producer and the thread that serves it, in one process.

    The thread takes turns: it hands over what has come, takes the answers to what it handed over before, and
    sleeps until there is something to do; see `_pause`. So a caller pays for neither; and librdkafka's
    callbacks, one an event, each of which takes Python's lock anew, do not do so against a caller, who
    is held off meanwhile.
    """

    def __init__(self, config: ProducerConfig, queue: SendQueue, *, adopts: bool = True) -> None:
        self._config = config
        self._queue = queue
        self._clock = queue.clock
        self._topic = config.kafka.topic
        self._reports: deque[tuple[QueuedEvent, Delivery | KafkaError]] = deque()
        self._errors: deque[KafkaError] = deque()
        self._refusals: list[tuple[QueuedEvent, KafkaError]] = []
        self._adopts = adopts
        self._is_refused = False
        self._alone_events = 0
        self._is_alone = False
        self._is_spool_away = False
        self._is_away = False
        self._stopping = threading.Event()
        self._linger = Linger(config.linger_seconds, config.queue_events, config.queue_bytes)
        self._turn_seconds = min(self._linger.seconds, TURN_SECONDS)
        self._pauses = Backoff(self._turn_seconds, IDLE_SECONDS)
        self._care = SpoolCare(config, queue, self._linger.seconds)
        self._backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._pid = os.getpid()
        self._producer: Producer | None = self._connect()
        self._threads: list[threading.Thread] = []
        self._servers: list[int] = []
        self._is_ended = False

    def start(self) -> None:
        """Have a thread serve. An interrupted call may have started one that nobody knows: the first serves."""
        thread = threading.Thread(target=self._run, name="trailhouse-producer", daemon=True)
        self._threads.append(thread)
        thread.start()
        self._queue.expects_adoption = self._adopts

    def _run(self) -> None:
        self._servers.append(threading.get_ident())
        if self._servers[0] != threading.get_ident():
            return
        try:
            if self._adopts and not self._stopping.is_set():
                self._care.adopt(0.0)
                with self._queue.lock:
                    self._queue.is_adopted = True
                    self._queue.lock.notify_all()
            self._serve()
        finally:
            with self._queue.lock:
                self._is_ended = True
                self._queue.lock.notify_all()

    def send_waiting(self) -> None:
        """Hand over as much of `waiting` as librdkafka takes, up to `MOST_AT_ONCE`."""
        queue = self._queue
        if (producer := self._producer) is None or not queue.waiting:
            return
        with queue.lock:
            size_bytes = self._send_all(producer)
        if size_bytes:
            self._pauses.reset()
            self._linger.note_sent(self._clock.monotonic_seconds(), size_bytes)

    def _send_all(self, producer: Producer) -> int:
        waiting, sent, size_bytes = self._queue.waiting, self._queue.sent, 0
        for _ in range(min(len(waiting), MOST_AT_ONCE)):
            queued = waiting[0]
            if queued.is_settled:  # taken back with those before it
                sent.append(waiting.popleft())
                continue
            try:
                producer.produce(
                    self._topic,
                    queued.record,
                    queued.key,
                    on_delivery=partial(self._note_report, queued),
                )
            except BufferError:
                break  # until reports have made room
            except KafkaException as error:
                if fault_of(error.args[0]) != "record":
                    self._errors.append(error.args[0])
                    self._is_refused = True
                    break
                self._refusals.append(
                    (queued, error.args[0])
                )  # it is this one, and no other's fault
            size_bytes += len(queued.record)
            sent.append(waiting.popleft())
        return size_bytes

    def stop(self) -> None:
        """End the thread; what is unsettled stays in the send queue."""
        self._stopping.set()
        if os.getpid() != self._pid:
            return  # in a forked child: the thread, and librdkafka's, are the parent's
        self._queue.wake_signal.send()
        with self._queue.lock:
            # Waiting lets go of the lock, which a call of `log` that is interrupted by this one may hold.
            self._queue.lock.wait_for(lambda: self._is_ended or not self._servers, PURGE_SECONDS)
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(blocking=False)

    def _connect(self) -> Producer:
        try:
            options = client_options(self._config) | {"error_cb": self._errors.append}
            self._is_alone = self._alone_events > 0
            return Producer(options | ({"batch.num.messages": 1} if self._is_alone else {}))
        except KafkaException as error:
            raise ConfigError(f"the [kafka] settings are wrong: {error.args[0].str()}") from error

    def _note_report(self, queued: QueuedEvent, error: KafkaError | None, message: Message) -> None:
        if error is None:
            # A delivered message has both.
            delivery = Delivery(self._topic, message.partition(), message.offset())  # type: ignore[arg-type]
            self._reports.append((queued, delivery))
        else:
            self._reports.append((queued, error))

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve_once()
            except Exception as error:  # noqa: BLE001 - nobody would send in this thread's place
                log.error("starting over, since sending raised %s", type(error).__name__)
                self._is_refused = True

    def _serve_once(self) -> None:
        self._pause()
        producer = self._producer
        if producer is not None:
            with self._queue.held_off():
                producer.poll(0)
            self._settle()
        # At each turn: a caller that found the disk full is waiting for just this.
        self._queue.make_space()
        if self._is_refused:
            self._start_over(producer)
        else:
            self._queue.hold_off_if_late()
            self._refill()
            self.send_waiting()
            self._queue.is_busy = False
        self._care.look_after()  # while the broker is at work
        self._look_at_errors()

    def _pause(self) -> None:
        """Sleep until the next turn: for a batch, for answers to the last one, or for somebody who waits."""
        queue, producer = self._queue, self._producer
        while not self._stopping.is_set():
            with queue.lock:
                seen_number = queue.seen_number
                now = self._clock.monotonic_seconds()
                pause, is_awaited = self._next_pause(now), queue.awaited > 0
                # While something is on its way its answers set the pace, however quickly others log.
                is_quiet = not queue.sent and not queue.is_behind
                has_news = is_quiet and queue.arrived_bytes is not None
                due_in_seconds = self._care.due_in_seconds(now, is_told=not pause.is_lingering)
                queue.wake_at_bytes = pause.wake_at_bytes
                if queue.seen_number != seen_number:
                    continue  # who logs takes no lock, and may not have seen yet that we want to be woken
            if is_awaited and producer is not None:
                if not has_news:
                    producer.poll(self._turn_seconds)  # whose callbacks come at once
                break
            if queue.wake_signal.wait(min(pause.seconds, due_in_seconds)):
                continue
            if not pause.is_lingering or pause.seconds <= due_in_seconds:
                break  # a turn sees to the spools, too
            self._care.look_after()
        queue.wake_at_bytes = NEVER_BYTES

    def _next_pause(self, now_seconds: float) -> Pause:
        queue = self._queue
        if queue.is_behind or self._is_refused:
            return Pause(self._pauses.next_seconds(), NEVER_BYTES)
        if (arrived_bytes := queue.arrived_bytes) is not None:
            return self._linger.pause(now_seconds, arrived_bytes)
        if not queue.sent:
            return Pause(REST_SECONDS, 0)
        # The answers are taken with the next batch; without one, when it would be due.
        pause = self._linger.pause(now_seconds, 0)
        return pause if pause.seconds else Pause(self._pauses.next_seconds(), 0)

    def _refill(self) -> None:
        try:
            self._queue.refill()
        except DeliveryError as error:
            # What librdkafka has goes on its way meanwhile.
            if not self._is_spool_away:
                log.error("%s", error)
            self._is_spool_away = True
            self._stopping.wait(IDLE_SECONDS)
        else:
            self._is_spool_away = False

    def _settle(self) -> None:
        reports = self._reports
        if not reports and not self._refusals:
            return
        self._pauses.reset()
        outcomes: list[tuple[QueuedEvent, Delivery | DeliveryError]] = []
        refusals, self._refusals = self._refusals, []
        for queued, error in refusals:
            self._refuse(queued, error, outcomes)
        while reports:
            queued, report = reports.popleft()
            if isinstance(report, Delivery):
                outcomes.append((queued, report))
            elif fault_of(report) == "record" and (self._is_alone or len(self._queue.sent) == 1):
                self._refuse(queued, report, outcomes)
            elif fault_of(report) == "record":
                # The broker refuses a batch for what may be the fault of one event in it, or of their
                # number: each is sent alone, until those that are on their way now have been.
                self._is_refused = True
                self._alone_events = len(self._queue.sent)
            else:
                self._is_refused = True
                self._errors.append(report)
        # The broker takes events again, whatever it had said before.
        if any(isinstance(outcome, Delivery) for _, outcome in outcomes):
            self._is_away = False
            self._backoff.reset()
        self._queue.settle(outcomes)
        if self._is_alone and outcomes:
            self._alone_events = max(0, self._alone_events - len(outcomes))
            self._is_refused |= not self._alone_events

    def _refuse(
        self,
        queued: QueuedEvent,
        error: KafkaError,
        outcomes: list[tuple[QueuedEvent, Delivery | DeliveryError]],
    ) -> None:
        try:
            self._queue.keep_refused(queued)
        except DeliveryError as unkept:
            log.error("%s", unkept)
            self._is_refused = True  # it is sent and refused again, until it can be kept
            return
        event_id = queued.event_id or decode_envelope(queued.record).envelope.event_id
        log.error("the broker refuses event %s: %s", event_id, error.name())
        told = f"the broker refuses event {event_id}: {error.str()}"
        outcomes.append((queued, DeliveryRejectedError(told, error.name())))

    def _start_over(self, producer: Producer | None) -> None:
        """Take back everything unsettled, wait a little, and send it in order with a new producer.

        A fresh producer also leaves the fatal state that an idempotent one cannot leave (KIP-360).
        """
        with self._queue.lock:
            self._producer = None
        if producer is not None:
            # What it holds is reported as purged, so that each event is settled or taken back, and none is forgotten.
            producer.purge()
            deadline = self._clock.monotonic_seconds() + PURGE_SECONDS
            while len(producer) and self._clock.monotonic_seconds() < deadline:
                producer.poll(IDLE_SECONDS)
            self._settle()
        # Before the next one is made: two of them would hold two connections and two queues.
        del producer
        self._stopping.wait(self._backoff.next_seconds())
        with self._queue.lock:
            self._is_refused = False
            self._queue.take_back()
            self._producer = self._connect()
        self.send_waiting()

    def _look_at_errors(self) -> None:
        """Tell of what librdkafka said, without the lock: a handler of the log may log an event."""
        while self._errors:
            self._on_error(self._errors.popleft())

    def _on_error(self, error: KafkaError) -> None:
        if fault_of(error) in REFUSALS:
            self._report_trouble(error)
        elif error.name() == "_ALL_BROKERS_DOWN" and not self._is_away:
            self._is_away = True
            log.warning(
                "no broker answers at %s; events wait", self._config.kafka.bootstrap_servers
            )

    def _report_trouble(self, error: KafkaError) -> None:
        name = error.name()
        trouble = DeliveryRejectedError(f"{_cause(error, self._config)} ({name})", name)
        if self._queue.report_trouble(trouble):
            log.error("%s; events wait", trouble)


def _cause(error: KafkaError, config: ProducerConfig) -> str:
    where = config.kafka.bootstrap_servers
    match fault_of(error):
        case "topic":
            return f"topic {config.kafka.topic} does not exist at {where}: run `trailhouse init`"
        case "refused":
            return f"the broker at {where} refuses what goes to topic {config.kafka.topic}: {one_line(error)}"
        case _:
            return (
                f"the broker at {where} refuses us:"
                " check TRAILHOUSE_KAFKA_SECURITY_PROTOCOL, _SASL_…, _SSL_… and the topic's permissions"
            )
