"""The worker: from Kafka into ClickHouse, every record once in a reader's view."""

from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.worker import run_worker
from trailhouse.schemas.errors import (
    BreakerTrippedError,
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
    ConfigError,
    EventError,
    InvalidEventError,
    OffsetGapError,
    SchemaMismatchError,
    SigningError,
    StorageDataError,
    StorageError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
    UnreadableBatchError,
    WorkerStoppedError,
)

__all__ = [
    "BreakerTrippedError",
    "BrokerError",
    "BrokerRejectedError",
    "BrokerUnavailableError",
    "ConfigError",
    "EventError",
    "InvalidEventError",
    "OffsetGapError",
    "SchemaMismatchError",
    "SigningError",
    "StorageDataError",
    "StorageError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "TrailhouseError",
    "UnreadableBatchError",
    "WorkerConfig",
    "WorkerStoppedError",
    "run_worker",
]
