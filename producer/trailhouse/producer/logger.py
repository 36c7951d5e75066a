"""The audit logger: one method for each kind of event, one receipt for each call."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Never, Self, cast

from trailhouse.producer import descriptions, telemetry_handlers
from trailhouse.producer.dispatcher import Dispatcher
from trailhouse.schemas.config import ProducerConfig
from trailhouse.schemas.errors import DeliveryError, InvalidEventError
from trailhouse.schemas.event import AuditEvent, unknown_field
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.quick import GIVEN

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from trailhouse.producer.outbox import Stats
    from trailhouse.producer.receipt import Receipt
    from trailhouse.schemas.record import Actor

DEFAULT_TIMEOUT_SECONDS = 30.0
NOT_GIVEN: Any = None
"""Stands for a `session_id` that was forgotten, which is refused like any other wrong one."""


class AuditLogger:
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
        ConfigError: A setting is unknown or wrong. Permanent; before any I/O.
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
        self._stamps = {name: value for name, value in stamps.items() if value is not None}
        self._override: ContextVar[bool | None] = ContextVar(
            "trailhouse_audit_enabled", default=None
        )
        self._dispatcher = Dispatcher(self._config)
        if self.enabled:
            self._dispatcher.send_orphans()

    @property
    def enabled(self) -> bool:
        """Whether events are written in the current context."""
        override = self._override.get()
        return self._config.enabled if override is None else override

    def set_enabled(self, enabled: bool) -> None:
        """Override the process's baseline for the current context: this thread or this task."""
        self._override.set(enabled)

    def log_run_started(self, run: object, session: object) -> Receipt | None:
        """Log `run_started`. *run* and *session*: structs, mappings, or objects with the same names.

        See `log` for what is guaranteed and raised; the same holds for the four below.
        """
        return self._log_run(
            EventType.RUN_STARTED, run, session, lambda: descriptions.started_data(run, session)
        )

    def log_run_completed(self, run: object, session: object, result: object) -> Receipt | None:
        """Log `run_completed` with the result's `token_usage` (``{}`` if missing), and, when known,
        its `cost_usd`, `stop_reason` and `duration_ms`."""
        return self._log_run(
            EventType.RUN_COMPLETED,
            run,
            session,
            lambda: descriptions.completed_data(run, session, result),
        )

    def log_run_failed(self, run: object, session: object, error: object) -> Receipt | None:
        """Log `run_failed` with the error's `code` and `message`; *error* may be an exception."""
        return self._log_run(
            EventType.RUN_FAILED,
            run,
            session,
            lambda: descriptions.failed_data(run, session, error),
        )

    def log_run_cancelled(self, run: object, session: object, error: object) -> Receipt | None:
        """Log `run_cancelled` with what cancelled the run, as `log_run_failed` does."""
        return self._log_run(
            EventType.RUN_CANCELLED,
            run,
            session,
            lambda: descriptions.failed_data(run, session, error),
        )

    def log_error(self, run: object, session: object, error: object) -> Receipt | None:
        """Log `error_occurred`: an error that does not end the run."""
        return self._log_run(
            EventType.ERROR_OCCURRED,
            run,
            session,
            lambda: descriptions.failed_data(run, session, error),
        )

    def log_usage_metrics(
        self, session: object, metrics: Mapping[str, Any] | None, run_id: str | None = None
    ) -> Receipt | None:
        """Log `token_usage_updated` with *metrics* verbatim, `cost_usd` too."""
        run = None if run_id is None else {"id": run_id}
        return self._log_run(
            EventType.TOKEN_USAGE_UPDATED, run, session, lambda: {} if metrics is None else metrics
        )

    def _log_run(
        self, type: EventType, run: object, session: object, data: Callable[[], Any]
    ) -> Receipt | None:
        if not self.enabled:
            return None
        get = {"type": type, "data": data(), **descriptions.envelope_of(run, session)}.get
        return self._log(tuple(map(get, GIVEN)))

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
            DeliveryTimeoutError, BrokerRejectedError: With *wait* alone, as `Receipt.result`: the event
                is logged and goes on being sent, but the broker is not known to have it.
        """
        if not self.enabled:
            return None
        if unknown:
            raise unknown_field(unknown)
        receipt = self._log(
            (type, session_id, run_id, data, metadata, tenant_id, actor, agent_id, parent_run_id, provider,
             correlation_id, trace_id, span_id, event_id, occurred_at)
        )  # fmt: skip
        if wait:
            receipt.result(timeout_seconds)
        return receipt

    def emit(
        self,
        event: AuditEvent,
        *,
        wait: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> Receipt | None:
        """Send *event* as it is: its `record`, to the last byte; nothing is stamped.

        An event that was read can so be emitted again. Guarantees, arguments and errors are those of
        `log`; an `AuditEvent` that exists is valid, and anything else is refused.
        """
        if not self.enabled:
            return None
        given = cast(object, event)  # an untyped caller may hand over anything
        if not isinstance(given, AuditEvent):
            raise InvalidEventError("event", f"must be an AuditEvent, got {type(given).__name__}")
        receipt = self._dispatcher.emit(given)
        if wait:
            receipt.result(timeout_seconds)
        return receipt

    def _log(self, given: tuple[Any, ...]) -> Receipt:
        """Log what is given, in the order of `GIVEN`."""
        if self._stamps:
            given = tuple(
                self._stamps.get(name) if value is None else value
                for name, value in zip(GIVEN, given, strict=True)
            )
        return self._dispatcher.log(given)

    def flush(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Return when every event logged before this call is acknowledged by all in-sync replicas.

        Raises:
            DeliveryTimeoutError: Some are not, after *timeout_seconds*; they stay queued. Retriable.
            BrokerRejectedError: The topic is missing, the credentials are wrong, or the broker
                refused an event since the last `flush`. What it refuses as a whole stays queued.
            SpoolUnavailableError: Events were damaged on the disk since the last call, and set aside.
            ProducerClosedError: The logger was closed before some were acknowledged. Permanent.
        """
        self._dispatcher.flush(timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> None:
        """Flush, then refuse further events and free the connection. May be called twice.

        Raises:
            DeliveryTimeoutError, BrokerRejectedError: As `flush`; the logger is closed all the
                same. What was not acknowledged stays in the spool; in mode ``memory`` it is lost.
        """
        timeout = self._config.close_timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            self._dispatcher.close(timeout)
        finally:
            self.detach_telemetry_handlers()

    def stats(self) -> Stats:
        """Return the counters of this logger in this process."""
        return self._dispatcher.stats()

    def attach_telemetry_handlers(self) -> None:
        """Log by itself what `telemetry` reports: runs, usage and adapter events. May be called twice."""
        telemetry_handlers.attach(self)

    def detach_telemetry_handlers(self) -> None:
        """Undo `attach_telemetry_handlers`; does nothing when not attached."""
        telemetry_handlers.detach(self)

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
            if error is None:
                raise
            error.add_note(
                f"trailhouse: {undelivered}"
            )  # the block's own error goes on, and says so
