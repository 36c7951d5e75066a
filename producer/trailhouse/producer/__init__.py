"""The producer library: what services embed to write the audit log of their agents."""

from trailhouse.producer import telemetry
from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.context import AuditContext
from trailhouse.producer.logger import AuditLogger
from trailhouse.producer.receipt import Receipt
from trailhouse.producer.spool.queued_event import Delivery
from trailhouse.producer.stats import Stats
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    DeliveryRejectedError,
    DeliveryTimeoutError,
    EventError,
    EventTooLargeError,
    InvalidEventError,
    ProducerClosedError,
    QueueFullError,
    SpoolDamagedError,
    SpoolFullError,
    SpoolUnavailableError,
    TrailhouseError,
)

__all__ = [
    "AuditContext",
    "AuditLogger",
    "ConfigError",
    "Delivery",
    "DeliveryError",
    "DeliveryRejectedError",
    "DeliveryTimeoutError",
    "EventError",
    "EventTooLargeError",
    "InvalidEventError",
    "ProducerClosedError",
    "ProducerConfig",
    "QueueFullError",
    "Receipt",
    "SpoolDamagedError",
    "SpoolFullError",
    "SpoolUnavailableError",
    "Stats",
    "TrailhouseError",
    "telemetry",
]
