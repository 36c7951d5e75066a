"""The operations on runs: lists, cost, what they did step by step, and what does not fit."""

from trailhouse.access.operation import (
    CURSOR,
    FILTER,
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
from trailhouse.query.run_status import RUN_STATUSES, SESSION_STATUSES
from trailhouse.query.runs.runs import RunSummary
from trailhouse.query.runs.sessions import SessionSummary
from trailhouse.query.runs.usage import CostReport, UsageReport
from trailhouse.query.runs.usage_sql import USAGE_KEYS
from trailhouse.query.steps.anomalies import AnomalyReport
from trailhouse.query.steps.approvals import ApprovalReport
from trailhouse.query.steps.compare import Comparison
from trailhouse.query.steps.timeline import Timeline

_GROUPS = Parameter(
    "by", "choices", "What to group by; may be repeated.", default=(), choices=USAGE_KEYS
)


def _runs(reader: AuditReader, values: Values) -> Page[RunSummary]:
    return reader.runs(
        wanted(values), status=values["status"], cursor=values["cursor"], limit=values["limit"]
    )


def _sessions(reader: AuditReader, values: Values) -> Page[SessionSummary]:
    return reader.sessions(
        wanted(values), status=values["status"], cursor=values["cursor"], limit=values["limit"]
    )


def _usage(reader: AuditReader, values: Values) -> Answer[UsageReport]:
    return reader.usage(wanted(values), by=values["by"], zone=values["zone"])


def _costs(reader: AuditReader, values: Values) -> Answer[CostReport]:
    return reader.costs(wanted(values), by=values["by"], zone=values["zone"])


def _timeline(reader: AuditReader, values: Values) -> Answer[Timeline]:
    answer = reader.timeline(
        values["session"],
        run_id=values["run"],
        standing=values["standing"] or None,
        since=values["since"],
        until=values["until"],
        limit=values["limit"],
    )
    if answer.value.events == 0:
        raise NothingFoundError
    return answer


def _compare(reader: AuditReader, values: Values) -> Answer[Comparison]:
    own: str | None = values["own_session"]
    if own is not None and {values["session_a"], values["session_b"]} - {None, own}:
        raise NothingFoundError
    answer = reader.compare(
        values["run_a"],
        values["run_b"],
        session_a=own or values["session_a"],
        session_b=own or values["session_b"],
        tenant_a=values["tenant_a"],
        tenant_b=values["tenant_b"],
        standing=values["standing"] or None,
    )
    if 0 in (answer.value.a.events, answer.value.b.events):
        raise NothingFoundError
    return answer


def _approvals(reader: AuditReader, values: Values) -> Answer[ApprovalReport]:
    return reader.approvals(wanted(values), limit=values["limit"])


def _anomalies(reader: AuditReader, values: Values) -> Answer[AnomalyReport]:
    return reader.anomalies(wanted(values), limit=values["limit"])


def _status(statuses: tuple[str, ...]) -> Parameter:
    return Parameter(
        "status", "choices", "Only with this status; may be repeated.", default=(), choices=statuses
    )


RUN_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="runs",
        title="Runs",
        meaning="Runs that meet the filter, the one that started last first, with status, tokens and cost.",
        parameters=(FILTER, SINCE, UNTIL, _status(RUN_STATUSES), CURSOR, limit(50, 1_000)),
        answer=Page[RunSummary],
        ask=_runs,
        pages=walked(_runs),
        within_session=True,
    ),
    Operation(
        name="sessions",
        title="Sessions",
        meaning="Sessions that meet the filter, the one that started last first, with their runs, tokens and cost.",
        parameters=(FILTER, SINCE, UNTIL, _status(SESSION_STATUSES), CURSOR, limit(50, 1_000)),
        answer=Page[SessionSummary],
        ask=_sessions,
        pages=walked(_sessions),
        within_session=True,
    ),
    Operation(
        name="usage",
        title="Tokens and cost",
        meaning="Tokens and cost of the events that meet the filter, by both books, which are never added.",
        parameters=(FILTER, SINCE, UNTIL, _GROUPS, ZONE),
        answer=Answer[UsageReport],
        ask=_usage,
        within_session=True,
    ),
    Operation(
        name="costs",
        title="Cost",
        meaning="Cost by both books, and the events that have no price.",
        parameters=(FILTER, SINCE, UNTIL, _GROUPS, ZONE),
        answer=Answer[CostReport],
        ask=_costs,
        within_session=True,
    ),
    Operation(
        name="timeline",
        title="What happened, step by step",
        meaning="A session, or a run and the runs that it started: turns, calls with their ends, open ones.",
        parameters=(
            Parameter("session", "text", "The session; may be left out where one alone has the run."),
            Parameter("run", "text", "The run; the whole session without."),
            STANDING, SINCE, UNTIL, limit(5_000, 20_000),
        ),
        answer=Answer[Timeline],
        ask=_timeline,
        within_session=True,
        can_be_missing=True,
    ),
    Operation(
        name="compare",
        title="Two runs side by side",
        meaning="Two runs with their steps aligned, the first difference, and what each cost.",
        parameters=(
            Parameter("run_a", "text", "The first run.", is_required=True),
            Parameter("run_b", "text", "The second run.", is_required=True),
            Parameter("session_a", "text", "The first run's session, where several have it."),
            Parameter("session_b", "text", "The second run's session, likewise."),
            Parameter(
                "tenant_a",
                "text",
                "The first run's tenant, where several have it in that session; empty for the run without a tenant.",
            ),
            Parameter("tenant_b", "text", "The second run's tenant, likewise."),
            STANDING,
        ),
        answer=Answer[Comparison],
        ask=_compare,
        within_session=True,
        can_be_missing=True,
    ),
    Operation(
        name="approvals",
        title="Approvals",
        meaning="What was asked before tools ran, who answered, how quickly, and whether the call ran anyway.",
        parameters=(FILTER, SINCE, UNTIL, limit(100, 1_000)),
        answer=Answer[ApprovalReport],
        ask=_approvals,
        within_session=True,
    ),
    Operation(
        name="anomalies",
        title="What does not fit",
        meaning="Runs without an end, missing numbers, clocks apart, late arrivals, conflicts.",
        parameters=(FILTER, SINCE, UNTIL, limit(100, 1_000)),
        answer=Answer[AnomalyReport],
        ask=_anomalies,
        within_session=True,
    ),
)  # fmt: skip
