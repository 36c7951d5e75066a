"""Who may read: tokens and principals."""

from trailhouse.access.config import AccessConfig
from trailhouse.access.principal import SCOPES, Principal
from trailhouse.access.tokens import Token, TokenStore
from trailhouse.schemas.errors import ConfigError, QueryError, TrailhouseError

__all__ = [
    "SCOPES",
    "AccessConfig",
    "ConfigError",
    "Principal",
    "QueryError",
    "Token",
    "TokenStore",
    "TrailhouseError",
]
