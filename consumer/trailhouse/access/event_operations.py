"""The operations on events: the log of a session, search, what comes, and SQL."""

from typing import get_args

import msgspec

from trailhouse.access.log_pages import LogEntry, log_page, log_pages
from trailhouse.access.operation import (
    CURSOR,
    FILTER,
    SESSION,
    SINCE,
    STANDING,
    UNTIL,
    ZONE,
    NothingFoundError,
    Operation,
    Values,
    limit,
    walked,
    wanted,
)
from trailhouse.access.parameters import Parameter
from trailhouse.query import AuditReader
from trailhouse.query.answer import Answer, Page
from trailhouse.query.search.facets import (
    DEFAULT_FIELDS,
    DEFAULT_VALUES,
    FACET_FIELDS,
    MAX_FIELDS,
    Facet,
)
from trailhouse.query.search.found import FoundEvent
from trailhouse.query.search.totals import Bucket, BucketSize
from trailhouse.query.sql.statement import SqlAnswer

MAX_TYPE_CHARACTERS = 128
"""Twice what a type has: as many as may be asked for have room in an address, whatever stands in them."""


def _search(reader: AuditReader, values: Values) -> Page[FoundEvent]:
    return reader.search(
        wanted(values),
        newest_first=values["order"] == "newest",
        by=values["by"],
        limit=values["limit"],
        cursor=values["cursor"],
    )


def _event(reader: AuditReader, values: Values) -> Page[FoundEvent]:
    page = reader.get_event(values["id"])
    own: str | None = values["own_session"]
    if own is not None:
        page = msgspec.structs.replace(
            page, items=tuple(each for each in page.items if each.session_id == own)
        )
    # One that was not found within the budget may yet be there: that is no 404.
    if page.complete and not page.items:
        raise NothingFoundError
    return page


def _count(reader: AuditReader, values: Values) -> Answer[int]:
    return reader.count(wanted(values))


def _histogram(reader: AuditReader, values: Values) -> Answer[tuple[Bucket, ...]]:
    return reader.histogram(wanted(values), by=values["by"], zone=values["zone"])


def _facets(reader: AuditReader, values: Values) -> Answer[tuple[Facet, ...]]:
    return reader.facets(wanted(values), fields=values["field"], limit=values["limit"])


def _sql(reader: AuditReader, values: Values) -> SqlAnswer:
    return reader.sql(values["statement"], limit=values["limit"])


LOG = Operation(
    name="log",
    title="The log of a session",
    meaning="The events of one session in the order in which they were appended, each once, as they were emitted.",
    parameters=(
        SESSION,
        Parameter("run", "text", "Only events of this run."),
        Parameter("type", "texts", "Only events of this type; may be repeated.", longest=MAX_TYPE_CHARACTERS,
                  example="run_failed"),
        STANDING, SINCE, UNTIL, CURSOR, limit(1_000, 10_000),
    ),
    answer=Page[LogEntry],
    ask=log_page,
    pages=log_pages,
    within_session=True,
    can_be_missing=True,
)  # fmt: skip
SEARCH = Operation(
    name="search",
    title="Events of all sessions",
    meaning="Events that meet the filter, each once, newest first unless said otherwise. Newest first begins at now.",
    parameters=(
        FILTER, SINCE, UNTIL,
        Parameter("order", "choice", "Newest or oldest first.", default="newest", choices=("newest", "oldest")),
        Parameter("by", "choice", "By the time when it happened, or in which it was appended.",
                  default="occurred", choices=("occurred", "append")),
        CURSOR, limit(50, 1_000),
    ),
    answer=Page[FoundEvent],
    ask=_search,
    pages=walked(_search),
    within_session=True,
)  # fmt: skip
EVENT = Operation(
    name="event",
    path="events/{id}",
    title="One event",
    meaning="The event of an id with its whole record; several where contents conflict.",
    parameters=(Parameter("id", "uuid", "The event's id.", is_required=True),),
    answer=Page[FoundEvent],
    ask=_event,
    within_session=True,
    can_be_missing=True,
)
COUNT = Operation(
    name="count",
    title="How many events",
    meaning="How many events meet the filter, each once; `exact` says whether it is all of them.",
    parameters=(FILTER, SINCE, UNTIL),
    answer=Answer[int],
    ask=_count,
    within_session=True,
)
HISTOGRAM = Operation(
    name="histogram",
    title="How many events when",
    meaning="How many events happened in each minute, hour, day or month, with zeros.",
    parameters=(
        FILTER, SINCE, UNTIL,
        Parameter("by", "choice", "How long a bucket is.", default="hour", choices=get_args(BucketSize)),
        ZONE,
    ),
    answer=Answer[tuple[Bucket, ...]],
    ask=_histogram,
    within_session=True,
)  # fmt: skip
FACETS = Operation(
    name="facets",
    title="The most frequent values",
    meaning="The most frequent values of fields, with how many events have them.",
    parameters=(
        FILTER, SINCE, UNTIL,
        Parameter("field", "choices", "Of this field; may be repeated.", default=DEFAULT_FIELDS,
                  choices=FACET_FIELDS, most=MAX_FIELDS),
        limit(DEFAULT_VALUES, 1_000),
    ),
    answer=Answer[tuple[Facet, ...]],
    ask=_facets,
    within_session=True,
)  # fmt: skip
FOLLOW = Operation(
    name="follow",
    title="What is stored from now on",
    meaning="Events as they are stored, each once, in append order within a session, without end.",
    parameters=(
        FILTER,
        Parameter("token", "cursor", "Goes on behind the event that came with it; as the header Last-Event-ID."),
        Parameter("from_start", "flag", "Begin with the first event there is.", default=False),
    ),
    answer=LogEntry,
    ask=None,
    is_stream=True,
)  # fmt: skip
EXPORT = Operation(
    name="export",
    title="Records as a file",
    meaning="The records of all events that meet the filter, each once, as they were emitted, as JSON lines.",
    parameters=(FILTER, SINCE, UNTIL),
    answer=LogEntry,
    ask=None,
    scope="export",
)
SQL = Operation(
    name="sql",
    title="One SELECT",
    meaning="What one SELECT on events, runs, sessions, token_usage, tool_calls and approvals finds.",
    parameters=(
        Parameter("statement", "filter", "ClickHouse's SQL.", is_required=True,
                  example="SELECT agent_id, count() FROM runs GROUP BY agent_id"),
        limit(1_000, 10_000),
    ),
    answer=SqlAnswer,
    ask=_sql,
    scope="sql",
)  # fmt: skip
EVENT_OPERATIONS: tuple[Operation, ...] = (
    LOG, SEARCH, EVENT, COUNT, HISTOGRAM, FACETS, FOLLOW, EXPORT, SQL,
)  # fmt: skip
