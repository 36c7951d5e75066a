"""Redaction: what is secret in an event is taken out before a copy of the event exists."""

from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.redactor import Redactor

__all__ = ["RedactionConfig", "Redactor"]
