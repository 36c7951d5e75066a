"""The handlers that turn telemetry into audit events by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trailhouse.producer import telemetry
from trailhouse.producer.descriptions import envelope_of, read

if TYPE_CHECKING:
    from trailhouse.producer.context import Binding
    from trailhouse.producer.logger import AuditLogger

NAMES = ("run.start", "run.stop", "run.exception", "usage.report", "adapter.*")


def attach(logger: AuditLogger) -> None:
    """Have *logger* log what telemetry reports, once however often this is called."""

    def handle(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        log_reported(logger, name, measurements, metadata)

    def bind(run: object, session: object) -> Binding:
        return logger.bind(run=run, session=session)

    telemetry.attach(_handler_id(logger), NAMES, handle, bind=bind)


def detach(logger: AuditLogger) -> None:
    """Undo `attach`."""
    telemetry.detach(_handler_id(logger))


def log_reported(
    logger: AuditLogger, name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """Log one report as the audit event that it means."""
    run, session = metadata.get("run"), metadata.get("session")
    match name:
        case "run.start":
            logger.log_run_started(run, session)
        case "run.stop":
            logger.log_run_completed(run, session, metadata.get("result"))
        case "run.exception" if metadata.get("is_cancelled"):
            logger.log_run_cancelled(run, session, metadata.get("error"))
        case "run.exception":
            logger.log_run_failed(run, session, metadata.get("error"))
        case "usage.report":
            logger.log_usage_metrics(session, metadata.get("metrics"), metadata.get("run_id"))
        case _:
            _log_adapter_event(logger, run, session, metadata.get("event"))


def _log_adapter_event(logger: AuditLogger, run: object, session: object, event: object) -> None:
    envelope = {key: value for key, value in envelope_of(run, session).items() if value is not None}
    data = read(event, "data")
    if data is None and isinstance(event, Mapping):
        data = {key: value for key, value in event.items() if key not in ("type", "metadata")}
    named: dict[str, Any] = {
        "session_id": None,
        **envelope,
    }  # without an id: for the event to refuse
    logger.log(read(event, "type"), data=data, metadata=read(event, "metadata"), **named)


def _handler_id(logger: AuditLogger) -> str:
    return f"trailhouse-audit-logger-{id(logger):x}"
