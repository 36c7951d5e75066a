"""The audit logger: one method for each kind of event, one receipt for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never, Self, cast

from trailhouse.producer.async_calls import AsyncCalls, note_on
from trailhouse.producer.audit_switch import Switches, Switching
from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.context import (
    AuditContext,
    Binding,
    Bound,
    checked,
    described,
    fields_of,
    stamper,
)
from trailhouse.producer.context_layers import Layers
from trailhouse.producer.delivery.dispatcher import Dispatcher
from trailhouse.producer.receipt import DEFAULT_TIMEOUT_SECONDS, bounded
from trailhouse.producer.recording.events import ContextFields, Losses, SafeEvents
from trailhouse.producer.recording.plain_runs import PlainRuns
from trailhouse.producer.recording.recorder import Recorder
from trailhouse.producer.redaction_preview import RedactionPreview
from trailhouse.producer.run_events import RunEvents
from trailhouse.producer.telemetry import handlers
from trailhouse.redaction.content import withholders
from trailhouse.schemas.draft import EventDraft, Processor, draft_of
from trailhouse.schemas.errors import DeliveryError, InvalidEventError
from trailhouse.schemas.event import AuditEvent, unknown_field
from trailhouse.schemas.event_shapes import warn_of_shape
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.json_form import kind_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from trailhouse.producer.audit_switch import SwitchToken
    from trailhouse.producer.receipt import Receipt
    from trailhouse.producer.stats import Stats
    from trailhouse.schemas.record import Actor

CONTENT_PROCESSORS: tuple[Processor, ...] = (warn_of_shape,)
"""What each event goes through once it is stamped, admitted and complete, before it is encoded; but one that is
emitted as it is. What is to change or withhold contents stands here: one more is one more in this line."""
NOT_GIVEN: Any = None
"""Stands for a `session_id` that is bound, or was forgotten and is refused like any other wrong one."""


def _writer(
    log: Callable[[EventDraft], Receipt], processors: Sequence[Processor]
) -> Callable[[EventDraft], Receipt | None]:
    """Return what writes a draft that is complete; no method, which would keep its logger alive."""

    def write(draft: EventDraft) -> Receipt | None:
        for process in processors:  # `processed`, for a call less
            if (changed := process(draft)) is None:
                return None
            draft = changed
        return log(draft)

    return write


class AuditLogger(RunEvents, PlainRuns, AsyncCalls, RedactionPreview):
    """Writes audit events to Kafka. Safe for threads and after fork; a context manager.

    Each method that logs returns a `Receipt` at once, or None while disabled. The broker being
    away never blocks a caller: events wait in a bounded spool on the disk, in order, and a full one
    raises. Nothing is dropped. A spool that its process left behind, however it ended, is sent by the
    next logger with the same settings, before anything of its own. At the end call `close` (or leave
    the `with` block), which waits for the acknowledgements; an exit of the interpreter does the same.

    Args:
        config: The settings; `ProducerConfig()` if not given, which reads the environment, then
            the file that ``TRAILHOUSE_CONFIG_FILE`` names, then takes defaults.
        tenant_id: Tenant of every event that names none; before the settings' one.
        actor: On whose behalf every event is logged that names none.

    Raises:
        ConfigError: A setting is unknown or wrong; or, unless disabled or in mode ``memory``, the folder
            of the spools cannot be made or written, or others can write to it. Permanent; nothing was done.
    """

    def __init__(
        self,
        config: ProducerConfig | None = None,
        *,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
    ) -> None:
        self._config = ProducerConfig() if config is None else config
        stamps = {"tenant_id": tenant_id or self._config.tenant_id or None, "actor": actor}
        self._stamps = Bound(checked(stamps))
        self._layers: Layers[Bound] = Layers("trailhouse_context")
        self._dispatcher = self._make_dispatcher(self._config)
        self._is_on = self._config.enabled
        withheld = withholders(self._config.content, self._config.redaction.key)
        processors = (*CONTENT_PROCESSORS, *withheld)
        self._write_content = _writer(self._dispatcher.log, processors)
        self._write_at_once = _writer(self._dispatcher.log_at_once, processors)
        self._switches = Switches(is_on=self._is_on, write=self._write_content)
        self._processors = (
            stamper(self._layers, self._stamps),
            self._switches.admit,
            *processors,
        )
        self._recorders: list[Recorder] = []
        if self.is_enabled:
            self._dispatcher.prepare()

    def _make_dispatcher(self, config: ProducerConfig) -> Dispatcher:
        return Dispatcher(config)

    def bind(
        self,
        *,
        session: object = None,
        run: object = None,
        parent_run_id: str | None = None,
        agent_id: str | None = None,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
        provider: str | None = None,
        correlation_id: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
    ) -> Binding:
        """Bind fields to a ``with`` or ``async with`` block: each event logged in it inherits them.

        `trailhouse.producer.context` says what wins over what, and who inherits: tasks do, new threads do not.

        Args:
            session: A struct, mapping, any object with the same names, or the id alone.
            run: The same. Bound inside another run it gets that one as its parent, unless it names its own.

        Raises:
            InvalidEventError: A field breaks a rule; names both. Permanent; nothing is bound.
        """
        run, session = described(run), described(session)
        named = {
            "parent_run_id": parent_run_id,
            "agent_id": agent_id,
            "tenant_id": tenant_id,
            "actor": actor,
            "provider": provider,
            "correlation_id": correlation_id,
            "trace_id": trace_id,
            "span_id": span_id,
        }
        fields = fields_of(run, session, named)
        return Binding(self._layers, self._stamps, fields, run, session)

    @property
    def recorder(self) -> Recorder:
        """What adapters record runs and tool calls by; see `trailhouse.producer.recording`."""
        if not self._recorders:
            losses = Losses(self._dispatcher.count_unlogged)
            context = ContextFields(self._layers, self._stamps)
            events = SafeEvents(
                self._switches.admit, self._write_content, self._write_at_once, losses
            )
            self._recorders.append(Recorder(events, losses, context))
            self._dispatcher.recorder = self._recorders[0]
        return self._recorders[0]

    @property
    def context(self) -> AuditContext:
        """What an event logged here inherits."""
        return self._bound.context

    @property
    def is_enabled(self) -> bool:
        """Whether events are written in the current context."""
        return self._switches.current.is_on

    def disabled(
        self, *, reason: str | None = None, actor: Actor | Mapping[str, str] | None = None
    ) -> Switching:
        """Write nothing in a ``with`` block, but `audit_disabled` before it and `audit_enabled` after it.

        Both stand in the session that is bound; without one, in that of the first event that is not written,
        and nowhere if there is none. They hold *reason* and *actor*, else the actor that is bound. The switch
        is this logger's and this context's: other threads go on; tasks begun in the block are off until it ends.

        Raises:
            InvalidEventError: *reason* or *actor* breaks a rule. Permanent; auditing goes on.
            DeliveryError: As `log`: that it is switched off cannot be logged, and so it is not.
        """
        return Switching(
            lambda: self.set_enabled(False, reason=reason, actor=actor), self.reset_enabled
        )

    def enabled(
        self, *, reason: str | None = None, actor: Actor | Mapping[str, str] | None = None
    ) -> Switching:
        """Write events in a ``with`` block, where they are switched off; the counterpart of `disabled`."""
        return Switching(
            lambda: self.set_enabled(True, reason=reason, actor=actor), self.reset_enabled
        )

    def set_enabled(
        self,
        enabled: bool,
        *,
        reason: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
    ) -> SwitchToken:
        """Do what `disabled` and `enabled` do, until the token that this returns is given to `reset_enabled`."""
        return self._switches.set(
            enabled, self._bound.stamp(EventDraft()), reason=reason, actor=actor
        )

    def reset_enabled(self, token: SwitchToken) -> None:
        """Undo the `set_enabled` that returned *token*, in every context that has inherited it.

        Raises:
            ValueError: The token is another logger's.
            RuntimeError: It has been used.
        """
        self._switches.reset(token)

    @property
    def _bound(self) -> Bound:
        layer = self._layers.top
        return self._stamps if layer is None else layer.value

    def _admit(self, draft: EventDraft) -> EventDraft | None:
        return self._switches.admit(draft)

    def _write(self, draft: EventDraft) -> Receipt | None:
        return self._write_content(draft)

    def log(
        self,
        type: EventType | str,
        *,
        session_id: str = NOT_GIVEN,
        run_id: str | None = None,
        data: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tenant_id: str | None = None,
        actor: Actor | Mapping[str, str] | None = None,
        agent_id: str | None = None,
        parent_run_id: str | None = None,
        provider: str | None = None,
        correlation_id: str | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        event_id: str | None = None,
        occurred_at: dt.datetime | None = None,
        wait: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        **unknown: Never,
    ) -> Receipt | None:
        """Log one event of a known or custom type; what is not given is stamped.

        Delivery:
            On return the event is valid, encoded and, in mode ``durable``, in the spool: it survives
            this process, and is sent by whoever finds it if not by us. In mode ``memory`` it is queued
            in memory alone. All in-sync replicas have it when its receipt's `result` has returned.
            Order within a session is the order of the calls.

        Args:
            wait: For a caller who must not act without a record: return when the broker has it.
            timeout_seconds: How long; without *wait* it has no meaning.

        Returns:
            The receipt, or None when disabled.

        Raises:
            InvalidEventError: A field breaks a rule; names both. Permanent; nothing was logged.
            EventTooLargeError: Over `max_event_bytes` when encoded. Permanent; nothing was logged.
            SpoolFullError, QueueFullError: No room within `queue_timeout_seconds`. Retriable; nothing
                was logged.
            SpoolUnavailableError: The spool cannot be written. Retriable; nothing was logged.
            ProducerClosedError: After `close`. Permanent; nothing was logged.
            ConfigError: The broker client refuses the settings, told by the first event. Permanent.
            DeliveryTimeoutError, DeliveryRejectedError: As `Receipt.result`, with *wait* alone: the event
                is logged and goes on being sent, but the broker is not known to have it.
        """
        timeout = bounded(timeout_seconds) if wait else 0.0
        if unknown and self.is_enabled:
            raise unknown_field(unknown)
        draft = EventDraft(
            actor, agent_id, correlation_id, data, event_id, metadata, occurred_at, parent_run_id, provider, run_id,
            None, session_id, None, span_id, tenant_id, trace_id, type,
        )  # fmt: skip
        for process in self._processors:  # `processed`, for a call less
            if (changed := process(draft)) is None:
                return None
            draft = changed
        receipt = self._dispatcher.log(draft)
        if wait:
            receipt.result(timeout)
        return receipt

    def emit(
        self,
        event: AuditEvent,
        *,
        wait: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Receipt | None:
        """Send *event* as it is: its `record`, to the last byte; nothing is stamped, and nothing taken out as secret.

        An event that was read can so be emitted again. Guarantees, arguments and errors are those of
        `log`; an `AuditEvent` that exists is valid, and anything else is refused.
        """
        timeout = bounded(timeout_seconds) if wait else 0.0
        given = cast(object, event)  # an untyped caller may hand over anything
        if not isinstance(given, AuditEvent):
            if not self.is_enabled:
                return None
            raise InvalidEventError("event", f"must be an AuditEvent, got {kind_of(given)}")
        if not self._switches.is_untouched and not self._switches.admits(draft_of(given)):
            return None
        receipt = self._dispatcher.emit(given)
        if wait:
            receipt.result(timeout)
        return receipt

    def flush(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Return when every event logged before this call is acknowledged by all in-sync replicas.

        Raises:
            DeliveryTimeoutError: Some are not, after *timeout_seconds*; they stay queued. Retriable.
            DeliveryRejectedError: The topic is missing, the credentials are wrong, or the broker
                refused an event since the last `flush`. Permanent until mended; what it refuses as a
                whole stays queued.
            SpoolDamagedError: Events were damaged on the disk since the last call. Permanent: they are set
                aside.
            ProducerClosedError: The logger was closed before some were acknowledged. Permanent.
        """
        self._dispatcher.flush(timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> None:
        """Flush, then refuse further events and free the connection. May be called twice.

        Delivery:
            In mode ``durable`` what was not acknowledged in time stays in the spool, for the next logger
            with these settings or `trailhouse spool drain`; one line of the log says how much and why, and
            that is no error. `flush` before it, for a caller who must know.

        Args:
            timeout_seconds: How long to wait for acknowledgements; `close_timeout_seconds` if not given.

        Raises:
            DeliveryTimeoutError, DeliveryRejectedError: As `flush`, in mode ``memory`` alone: what was not
                acknowledged is lost.
            DeliveryRejectedError: The broker refused an event by itself. Permanent: it is set aside, and nobody
                sends it.
            SpoolDamagedError: As `flush`. The logger is closed all the same, whatever is raised.
        """
        timeout = (
            self._dispatcher.close_timeout_seconds if timeout_seconds is None else timeout_seconds
        )
        try:
            self._dispatcher.close(timeout)
        finally:
            self.detach_telemetry_handlers()

    def stats(self) -> Stats:
        """Return the counters of this logger in this process."""
        return self._dispatcher.stats()

    def attach_telemetry_handlers(self) -> None:
        """Log by itself what `telemetry` reports: runs, usage and adapter events. May be called twice.

        The reporting code is never harmed. A value that cannot be written is marked in its place, unless
        ``TRAILHOUSE_PRODUCER_ON_UNENCODABLE=raise``; an event that cannot be logged is told in our log, by
        its name, run and session, and counted in `stats` as `unlogged_total`.
        """
        handlers.attach(
            self,
            self.bind,
            self._dispatcher.count_unlogged,
            marks=self._config.on_unencodable == "mark",
        )

    def detach_telemetry_handlers(self) -> None:
        """Undo `attach_telemetry_handlers`; does nothing when not attached."""
        handlers.detach(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except DeliveryError as undelivered:
            note_on(error, undelivered)
