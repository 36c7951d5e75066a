"""Redaction: what is secret in an event is taken out before a copy of the event exists."""

from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.content import ContentConfig
from trailhouse.redaction.preview import Finding
from trailhouse.schemas.errors import ConfigError, TrailhouseError

__all__ = ["ConfigError", "ContentConfig", "Finding", "RedactionConfig", "TrailhouseError"]
