"""OpenTelemetry: what the spans of agents, tools and models tell of is recorded."""

from trailhouse.capture.otel.adapter import install
from trailhouse.capture.otel.log_processor import AuditLogRecordProcessor
from trailhouse.capture.otel.sampler import audit_sampler
from trailhouse.capture.otel.span_processor import AuditSpanProcessor

__all__ = ["AuditLogRecordProcessor", "AuditSpanProcessor", "audit_sampler", "install"]
