"""Telemetry: what agent code reports, and the handlers that make audit events of it."""

from trailhouse.producer.telemetry.bus import (
    attach,
    detach,
    emit_adapter_event,
    emit_error,
    emit_run_end,
    emit_run_start,
    emit_usage_metrics,
    is_enabled,
    reset_enabled,
    set_enabled,
    span,
)

__all__ = [
    "attach",
    "detach",
    "emit_adapter_event",
    "emit_error",
    "emit_run_end",
    "emit_run_start",
    "emit_usage_metrics",
    "is_enabled",
    "reset_enabled",
    "set_enabled",
    "span",
]
