"""The query module: the audit log of a session, its conflicts, and totals over all."""

from trailhouse.query.outline import RecentSession, SessionOutline
from trailhouse.query.overview import Overview
from trailhouse.query.reader import AuditReader, Conflict
from trailhouse.query.records import AlteredEvent

__all__ = ["AlteredEvent", "AuditReader", "Conflict", "Overview", "RecentSession", "SessionOutline"]
