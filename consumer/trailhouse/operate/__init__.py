"""What an operator does with the pipeline, as functions; the command line prints what they return."""

from trailhouse.operate.requeue import Requeued, requeue
from trailhouse.operate.status import KafkaState, PipelineStatus, StoreState, pipeline_status
from trailhouse.schemas.errors import (
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
    ConfigError,
    DeliveryError,
    ExportError,
    IntegrityError,
    OffsetsExpiredError,
    QueryError,
    SchemaMismatchError,
    SpoolUnavailableError,
    StorageError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
    UnreadableBatchError,
)

__all__ = [
    "BrokerError",
    "BrokerRejectedError",
    "BrokerUnavailableError",
    "ConfigError",
    "DeliveryError",
    "ExportError",
    "IntegrityError",
    "KafkaState",
    "OffsetsExpiredError",
    "PipelineStatus",
    "QueryError",
    "Requeued",
    "SchemaMismatchError",
    "SpoolUnavailableError",
    "StorageError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "StoreState",
    "TrailhouseError",
    "UnreadableBatchError",
    "pipeline_status",
    "requeue",
]
