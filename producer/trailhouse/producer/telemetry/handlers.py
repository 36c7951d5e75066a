"""The handlers that turn telemetry into audit events by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trailhouse.producer.context import described
from trailhouse.producer.object_fields import context_fields, read
from trailhouse.producer.telemetry import bus
from trailhouse.producer.telemetry.reported_events import ReportedEvents, tell_unlogged
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.unencodable import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.producer.context import Binding
    from trailhouse.producer.run_events import RunEvents

NAMES = ("run.start", "run.stop", "run.exception", "usage.report", "adapter.*")


def attach(
    logger: RunEvents,
    bind: Callable[..., Binding],
    count_unlogged: Callable[[], object],
    *,
    marks: bool,
) -> None:
    """Have *logger* log what telemetry reports, once however often this is called.

    Args:
        logger: Whose events they become.
        bind: Its method: what a span's block binds.
        count_unlogged: Called for each report that cannot be logged.
        marks: Whether what cannot be written is marked in its place; else its event is not logged.
    """
    events = ReportedEvents(logger, marks=marks)

    def handle(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        try:
            log_reported(events, name, metadata)
        except Exception as error:  # noqa: BLE001 - what is reported may raise anything when it is read
            count_unlogged()
            run = metadata.get("run")
            tell_unlogged(
                name,
                {"id": metadata.get("run_id")} if run is None else run,
                metadata.get("session"),
                error,
            )

    def bind_reported(run: object, session: object) -> Binding:
        try:
            return bind(run=run, session=session)
        except InvalidEventError:
            if not marks:
                raise
            return _bind_marked(bind, run, session)

    bus.attach(_handler_id(logger), NAMES, handle, bind=bind_reported)


def detach(logger: RunEvents) -> None:
    """Undo `attach`."""
    bus.detach(_handler_id(logger))


def _bind_marked(bind: Callable[..., Binding], run: object, session: object) -> Binding:
    """Bind what the run's own events have: in its block nothing must pass for the run's around it."""
    fields = marked(context_fields(described(run), described(session)))
    return bind(
        session=fields.get("session_id"),
        run=fields.get("run_id"),
        parent_run_id=fields.get("parent_run_id"),
        agent_id=fields.get("agent_id"),
        tenant_id=fields.get("tenant_id"),
        provider=fields.get("provider"),
    )


def log_reported(events: ReportedEvents, name: str, metadata: Mapping[str, Any]) -> None:
    """Log one report as the audit event that it means."""
    run, session = metadata.get("run"), metadata.get("session")
    match name:
        case "run.start":
            events.log_run_started(run, session)
        case "run.stop":
            events.log_run_completed(run, session, metadata.get("result"))
        case "run.exception" if metadata.get("is_cancelled"):
            events.log_run_cancelled(run, session, metadata.get("error"))
        case "run.exception":
            events.log_run_failed(run, session, metadata.get("error"))
        case "usage.report":
            events.log_usage_metrics(session, metadata.get("metrics"), metadata.get("run_id"))
        case _:
            _log_adapter_event(events, run, session, metadata.get("event"))


def _log_adapter_event(events: ReportedEvents, run: object, session: object, event: object) -> None:
    data = read(event, "data")
    if data is None and isinstance(event, Mapping):
        data = {key: value for key, value in event.items() if key not in ("type", "metadata")}
    events.log_fields(
        {
            **context_fields(described(run), described(session)),
            "type": read(event, "type"),
            "data": data,
            "metadata": read(event, "metadata"),
        }
    )


def _handler_id(logger: RunEvents) -> str:
    return f"trailhouse-audit-logger-{id(logger):x}"
