"""What an operator does with the pipeline, as functions: each door, such as the command line, prints their answers."""

from trailhouse.operate.requeue import Requeued, requeue
from trailhouse.operate.status import KafkaState, PipelineStatus, StoreState, pipeline_status
from trailhouse.schemas.errors import (
    BrokerError,
    BrokerRejectedError,
    BrokerUnavailableError,
    ConfigError,
    QueryError,
    SchemaMismatchError,
    StorageError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
)

__all__ = [
    "BrokerError",
    "BrokerRejectedError",
    "BrokerUnavailableError",
    "ConfigError",
    "KafkaState",
    "PipelineStatus",
    "QueryError",
    "Requeued",
    "SchemaMismatchError",
    "StorageError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "StoreState",
    "TrailhouseError",
    "pipeline_status",
    "requeue",
]
