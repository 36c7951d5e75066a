"""Who may read, what can be asked, and that it is written down: tokens, questions, `audit_read`."""

from trailhouse.access.config import AccessConfig
from trailhouse.access.principal import SCOPES, Principal
from trailhouse.access.read_audit import Read, ReadAudit
from trailhouse.access.tokens import Token, TokenStore
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    QueryError,
    SpoolFullError,
    SpoolUnavailableError,
    StorageError,
    StorageLimitError,
    StorageUnavailableError,
    TrailhouseError,
)

__all__ = [
    "SCOPES",
    "AccessConfig",
    "ConfigError",
    "DeliveryError",
    "Principal",
    "QueryError",
    "Read",
    "ReadAudit",
    "SpoolFullError",
    "SpoolUnavailableError",
    "StorageError",
    "StorageLimitError",
    "StorageUnavailableError",
    "Token",
    "TokenStore",
    "TrailhouseError",
]
