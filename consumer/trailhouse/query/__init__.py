"""The query module: the audit log of a session, its conflicts, and totals over all."""

from trailhouse.query.answer import Answer, LeftOut, Page
from trailhouse.query.async_follower import AsyncFollower
from trailhouse.query.async_reader import AsyncAuditReader
from trailhouse.query.books import Book, Books, Difference
from trailhouse.query.budget import ReadBudget
from trailhouse.query.config import ReaderConfig
from trailhouse.query.export.formats import ExportFormat
from trailhouse.query.export.manifest import ExportCheck, ExportedFile, Manifest, check_export
from trailhouse.query.filtering.grammar import parse, render
from trailhouse.query.filtering.search_filter import FIELDS, Condition, SearchFilter, Words
from trailhouse.query.follow.follower import Followed, Follower
from trailhouse.query.frames import to_arrow, to_pandas, to_polars
from trailhouse.query.overview import Overview
from trailhouse.query.reader import AuditReader, Conflict
from trailhouse.query.runs.runs import RunSummary
from trailhouse.query.runs.sessions import SessionSummary
from trailhouse.query.runs.usage import BookCosts, Cost, CostReport, Usage, UsageGroup, UsageReport
from trailhouse.query.search.facets import Facet, FacetValue
from trailhouse.query.search.found import FoundEvent
from trailhouse.query.search.totals import Bucket
from trailhouse.query.session_log.outline import RecentSession, SessionOutline
from trailhouse.query.session_log.records import AlteredEvent
from trailhouse.query.sql.statement import SqlAnswer
from trailhouse.query.steps.anomalies import Anomaly, AnomalyReport, AnomalyThresholds
from trailhouse.query.steps.approvals import Approval, ApprovalReport, UnaskedCall
from trailhouse.query.steps.compare import AlignedStep, Comparison, RunSide
from trailhouse.query.steps.timeline import Step, Timeline, TimelineRun, Turn
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryError,
    DeliveryRejectedError,
    DeliveryTimeoutError,
    EventQuarantinedError,
    ExportError,
    IntegrityError,
    ProducerClosedError,
    QueryError,
    SchemaMismatchError,
    SlowFollowerError,
    SpoolDamagedError,
    StorageError,
    StorageLimitError,
    StorageRejectedError,
    StorageUnavailableError,
    TrailhouseError,
)
from trailhouse.store.config import ClickHouseConfig

__all__ = [
    "FIELDS",
    "AlignedStep",
    "AlteredEvent",
    "Anomaly",
    "AnomalyReport",
    "AnomalyThresholds",
    "Answer",
    "Approval",
    "ApprovalReport",
    "AsyncAuditReader",
    "AsyncFollower",
    "AuditReader",
    "Book",
    "BookCosts",
    "Books",
    "Bucket",
    "ClickHouseConfig",
    "Comparison",
    "Condition",
    "ConfigError",
    "Conflict",
    "Cost",
    "CostReport",
    "DeliveryError",
    "DeliveryRejectedError",
    "DeliveryTimeoutError",
    "Difference",
    "EventQuarantinedError",
    "ExportCheck",
    "ExportError",
    "ExportFormat",
    "ExportedFile",
    "Facet",
    "FacetValue",
    "Followed",
    "Follower",
    "FoundEvent",
    "IntegrityError",
    "LeftOut",
    "Manifest",
    "Overview",
    "Page",
    "ProducerClosedError",
    "QueryError",
    "ReadBudget",
    "ReaderConfig",
    "RecentSession",
    "RunSide",
    "RunSummary",
    "SchemaMismatchError",
    "SearchFilter",
    "SessionOutline",
    "SessionSummary",
    "SlowFollowerError",
    "SpoolDamagedError",
    "SqlAnswer",
    "Step",
    "StorageError",
    "StorageLimitError",
    "StorageRejectedError",
    "StorageUnavailableError",
    "Timeline",
    "TimelineRun",
    "TrailhouseError",
    "Turn",
    "UnaskedCall",
    "Usage",
    "UsageGroup",
    "UsageReport",
    "Words",
    "check_export",
    "parse",
    "render",
    "to_arrow",
    "to_pandas",
    "to_polars",
]
