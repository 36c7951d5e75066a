"""The producer library: what services embed to write the audit log of their agents."""

from trailhouse.producer import telemetry
from trailhouse.producer.context import AuditContext
from trailhouse.producer.logger import AuditLogger
from trailhouse.producer.queued_event import Delivery
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.stats import Stats
from trailhouse.schemas.config import ProducerConfig

__all__ = [
    "AuditContext",
    "AuditLogger",
    "Delivery",
    "ProducerConfig",
    "Receipt",
    "Stats",
    "telemetry",
]
