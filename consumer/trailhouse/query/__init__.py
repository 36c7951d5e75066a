"""The query module: the audit log of a session, its conflicts, and totals over all."""

from trailhouse.query.overview import Overview
from trailhouse.query.reader import AuditReader, Conflict

__all__ = ["AuditReader", "Conflict", "Overview"]
