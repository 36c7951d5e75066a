"""The ClickHouse client: connect, migrate, insert, map errors, and find gaps in producers' sequences."""

from trailhouse.schemas.errors import (
    ConfigError,
    ProofError,
    SchemaMismatchError,
    StorageDataError,
    StorageError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
)
from trailhouse.store.block import Block, Table
from trailhouse.store.clickhouse import ClickHouse, Result
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.tables import BATCH_LEDGER, EVENT_LOG, EVENT_QUARANTINE

__all__ = [
    "BATCH_LEDGER",
    "EVENT_LOG",
    "EVENT_QUARANTINE",
    "Block",
    "ClickHouse",
    "ClickHouseConfig",
    "ConfigError",
    "ProofError",
    "Result",
    "SchemaMismatchError",
    "StorageDataError",
    "StorageError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "Table",
    "TrailhouseError",
]
