"""An audit logger for tests, which keeps in memory what the real one would send, and tells what was logged.

::

    def test_the_tool_is_audited(audit_log):  # a fixture that pytest finds where trailhouse is installed
        answer("Where is my order?", audit=audit_log)

        audit_log.assert_logged("tool_call_started", run_id="run-1", data={"tool_name": "search"})

Everything but the delivery is the real logger's: the same methods, checks, errors and bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.delivery.dispatcher import Dispatcher, ProcessState
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.logger import AuditLogger
from trailhouse.producer.spool.queued_event import Delivery
from trailhouse.schemas.codec import decode
from trailhouse.schemas.event import checked_actor, unknown_field
from trailhouse.schemas.json_form import json_object
from trailhouse.schemas.record import ENVELOPE_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.producer.receipt import Receipt
    from trailhouse.producer.sealing.sealer import Sealer
    from trailhouse.producer.spool.queued_event import QueuedEvent
    from trailhouse.schemas.draft import EventDraft
    from trailhouse.schemas.errors import DeliveryError
    from trailhouse.schemas.event import AuditEvent
    from trailhouse.schemas.event_type import EventType
    from trailhouse.schemas.record import Actor

SHOWN_EVENTS = 20


class InMemoryAuditLogger(AuditLogger):
    """An `AuditLogger` whose broker is a list: each event is acknowledged before `log` returns.

    Args:
        config: As for `AuditLogger`, but on unless it says otherwise. No broker and no spool is used.
        tenant_id: As for `AuditLogger`.
        actor: As for `AuditLogger`.
    """

    _dispatcher: _InMemoryDispatcher

    def __init__(
        self,
        config: ProducerConfig | None = None,
        *,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            ProducerConfig(enabled=True) if config is None else config,
            tenant_id=tenant_id,
            actor=actor,
        )

    def _make_dispatcher(self, config: ProducerConfig) -> Dispatcher:
        return _InMemoryDispatcher(config)

    @property
    def records(self) -> list[bytes]:
        """The bytes of each event that was logged, as Kafka would have them, in order."""
        return list(self._dispatcher.records)

    @property
    def events(self) -> list[AuditEvent]:
        """The events that were logged, in order, read from their bytes as a reader would."""
        return [decode(record) for record in self._dispatcher.records]

    def clear(self) -> None:
        """Forget what was logged so far."""
        self._dispatcher.records.clear()

    def fail_with(self, error: DeliveryError | None) -> None:
        """Have each call that logs raise *error*, such as ``SpoolFullError("full")``; None ends that."""
        self._dispatcher.failure = error

    def only(
        self,
        type: EventType | str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> AuditEvent:
        """Return the one event that matches, as `assert_logged` does.

        Raises:
            AssertionError: None does, or several do; says what was logged.
        """
        found = self._matching(type, data, metadata, fields)
        if len(found) != 1:
            self._fail(f"expected one event, got {len(found)}", type, data, metadata, fields)
        return found[0]

    def assert_logged(
        self,
        type: EventType | str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> AuditEvent:
        """Check that an event was logged that matches, and return the first.

        Args:
            type: Its type; None for any.
            data: Keys that its `data` has, with these values; it may have others.
            metadata: The same of its `metadata`.
            fields: Its other fields, such as `session_id`, `run_id`, `tenant_id`, `actor`.

        Raises:
            AssertionError: None was; says what was logged, and how it differs.
            InvalidEventError: A field is not one of an event. Permanent.
        """
        found = self._matching(type, data, metadata, fields)
        if not found:
            self._fail("expected an event, got none", type, data, metadata, fields)
        return found[0]

    def assert_not_logged(
        self,
        type: EventType | str | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Check that no event was logged that matches, as `assert_logged` does.

        Raises:
            AssertionError: One was; says what was logged.
        """
        if found := self._matching(type, data, metadata, fields):
            self._fail(f"expected no event, got {len(found)}", type, data, metadata, fields)

    def _matching(
        self, type: str | None, data: object, metadata: object, fields: Mapping[str, Any]
    ) -> list[AuditEvent]:
        wanted = _wanted(type, data, metadata, fields)
        return [event for event in self.events if not _differences(event, wanted)]

    def _fail(
        self, what: str, type: str | None, data: object, metadata: object, fields: Mapping[str, Any]
    ) -> NoReturn:
        wanted = _wanted(type, data, metadata, fields)
        events = self.events
        sought = ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "anything"
        lines = [f"{what} with {sought}; logged were {len(events)}:"]
        for number, event in enumerate(events[-SHOWN_EVENTS:], max(0, len(events) - SHOWN_EVENTS)):
            differences = _differences(event, wanted)
            lines.append(f"  {number}. {event.type}: {'; '.join(differences) or 'matches'}")
        raise AssertionError("\n".join(lines))


class _InMemorySendQueue(SendQueue):
    """A send queue that is as safe as a spool: nothing waits in it."""

    @property
    def is_durable(self) -> bool:
        return True


class _InMemoryDispatcher(Dispatcher):
    """Delivers into a list, before the call that logs returns."""

    def __init__(self, config: ProducerConfig) -> None:
        self.records: list[bytes] = []
        self.failure: DeliveryError | None = None
        super().__init__(config)

    def _make_queue(self, sealer: Sealer | None) -> SendQueue:
        config = self._config
        return _InMemorySendQueue(config.queue_events, config.queue_bytes, sealer=sealer)

    def _start(self, here: ProcessState) -> None:
        """Start nothing: there is nobody to send to."""

    def log(self, draft: EventDraft) -> Receipt:
        return self._delivered(super().log, draft)

    def try_log(self, draft: EventDraft) -> Receipt:
        return self.log(draft)

    def log_at_once(self, draft: EventDraft) -> Receipt:
        return self._delivered(super().log_at_once, draft)

    def emit(self, event: AuditEvent) -> Receipt:
        return self._delivered(super().emit, event)

    def _delivered(self, log: Any, what: object) -> Receipt:
        if self.failure is not None:
            raise self.failure
        receipt: Receipt = log(what)
        self._deliver_all()
        return receipt

    def _deliver_all(self) -> None:
        queue = self.queue
        outcomes: list[tuple[QueuedEvent, Delivery | DeliveryError]] = []
        with queue.lock:
            self._deliver_waiting(outcomes)
            if queue.sealer is not None:
                queue.sealer.look_after(queue, queue.clock.monotonic_seconds())
                self._deliver_waiting(outcomes)
        queue.settle(outcomes)

    def _deliver_waiting(
        self, outcomes: list[tuple[QueuedEvent, Delivery | DeliveryError]]
    ) -> None:
        queue = self.queue
        queue.admit()
        queue.note_fresh()
        while queue.waiting:
            sent = queue.waiting.popleft()
            queue.sent.append(sent)
            outcomes.append((sent, Delivery(self._config.kafka.topic, 0, len(self.records))))
            self.records.append(sent.record)

    def _seal_last(self, here: ProcessState) -> bool:
        queue = here.queue
        if queue.sealer is None:
            return False
        queue.refuses = queue.sealer.wants_last = True
        self._deliver_all()
        return queue.sealer.is_done


def _wanted(
    type: str | None, data: object, metadata: object, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what an event must have, in the form that it would have."""
    if unknown := fields.keys() - ENVELOPE_FIELDS:
        raise unknown_field(unknown)
    wanted = dict(fields) if type is None else {"type": str(type), **fields}
    if wanted.get("actor") is not None:
        wanted["actor"] = checked_actor(wanted["actor"])
    for name, content in (("data", data), ("metadata", metadata)):
        if content is not None:
            plain = json_object(content, name)
            wanted |= {f"{name}.{key}": value for key, value in plain.items()}
    return wanted


def _differences(event: AuditEvent, wanted: Mapping[str, Any]) -> list[str]:
    """Return how *event* differs from what is *wanted*; nothing when it does not."""
    differences = []
    for name, value in wanted.items():
        field, _, key = name.partition(".")
        if not key:
            got = getattr(event, field)
        elif key in (content := getattr(event, field)):
            got = content[key]
        else:
            differences.append(f"{field} has no {key!r}")
            continue
        if got != value:
            differences.append(f"{name} is {got!r}, not {value!r}")
    return differences
