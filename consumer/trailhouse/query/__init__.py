"""The query module: the audit log of a session, its conflicts, and totals over all."""

from trailhouse.query.outline import RecentSession, SessionOutline
from trailhouse.query.overview import Overview
from trailhouse.query.reader import AuditReader, Conflict
from trailhouse.query.records import AlteredEvent
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    DeliveryRejectedError,
    DeliveryTimeoutError,
    EventQuarantinedError,
    IntegrityError,
    ProducerClosedError,
    QueryError,
    SchemaMismatchError,
    SpoolDamagedError,
    StorageError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
)
from trailhouse.store.config import ClickHouseConfig

__all__ = [
    "AlteredEvent",
    "AuditReader",
    "ClickHouseConfig",
    "ConfigError",
    "Conflict",
    "DeliveryError",
    "DeliveryRejectedError",
    "DeliveryTimeoutError",
    "EventQuarantinedError",
    "IntegrityError",
    "Overview",
    "ProducerClosedError",
    "QueryError",
    "RecentSession",
    "SchemaMismatchError",
    "SessionOutline",
    "SpoolDamagedError",
    "StorageError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "TrailhouseError",
]
