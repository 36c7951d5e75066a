"""The questions that every door is asked; `door_questions` and `door_steps` say how each is put and answered."""

import datetime as dt
from decimal import Decimal

from airline_fleet import START
from door_questions import (
    Asked,
    Fact,
    count,
    facets,
    facts,
    histogram,
    log,
    runs,
    search,
    sessions,
    status_of,
    summed,
    usage,
)
from door_steps import approvals, compare, costs, endless, event, timeline

NOON = START + dt.timedelta(hours=12)
NEXT_NOON = START + dt.timedelta(hours=36)
SINCE, UNTIL = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (NOON, NEXT_NOON))
IN_SQL = (
    f"occurred_at >= '{NOON:%Y-%m-%d %H:%M:%S}' AND occurred_at <= '{NEXT_NOON:%Y-%m-%d %H:%M:%S}'"
)
CALL = next(each.call for each in facts() if each.type == "tool_call_failed")
APPROVED = next(each.call for each in facts() if each.type == "tool_approval_granted")
EVENT_ID = facts()[1_234].event_id
SESSION, RUN = "airline-07", "airline-07-trial-2"
EVERYTHING = ""


def everything(_: object) -> bool:
    """Take all there is."""
    return True


def in_time(each: Fact) -> bool:
    """Tell whether an event lies between the two times that questions name."""
    return NOON <= each.at <= NEXT_NOON


def cost_above(least: str) -> str:
    """Return the condition in SQL."""
    return f"cost_usd > toDecimal128('{least}', 18)"


EVENTS = {
    "events, the newest": search(EVERYTHING, everything, "1"),
    "events, the oldest": search(EVERYTHING, everything, "1", order="oldest"),
    "events, appended last": search(
        EVERYTHING, everything, "1", by="append", order_key=lambda each: each.place
    ),
    "events, appended first": search(
        "type:run_failed", lambda each: each.type == "run_failed", "type = 'run_failed'",
        by="append", order="oldest", order_key=lambda each: each.place,
    ),
    "failed runs": search("type:run_failed", lambda each: each.type == "run_failed", "type = 'run_failed'"),
    "failed or timed out": search(
        "type:(run_failed OR run_timeout)", lambda each: each.type in ("run_failed", "run_timeout"),
        "type IN ('run_failed', 'run_timeout')",
    ),
    "all but messages": search(
        "-type:(message_sent OR message_received)", lambda each: not each.type.startswith("message"),
        "type NOT LIKE 'message%'",
    ),
    "an agent's starts": search(
        "agent:airline-gpt-4o type:run_started", lambda each: each.type == "run_started", "type = 'run_started'"
    ),
    "nobody's agent": search("agent:nobody", lambda each: each.agent == "nobody", "agent_id = 'nobody'"),
    "a session": search(f"session:{SESSION}", lambda each: each.session == SESSION, f"session_id = '{SESSION}'"),
    "a run": search(f"run:{RUN}", lambda each: each.run == RUN, f"run_id = '{RUN}'"),
    "what a run started": search(
        "parent_run:airline-07-trial-0", lambda each: each.parent == "airline-07-trial-0",
        "parent_run_id = 'airline-07-trial-0'",
    ),
    "a tenant": search("tenant:acme", lambda each: each.tenant == "acme", "tenant_id = 'acme'"),
    "no tenant": search("-has:tenant", lambda each: not each.tenant, "tenant_id = ''"),
    "another tenant's failures": search(
        "-tenant:acme outcome:failed", lambda each: each.tenant != "acme" and each.outcome == "failed",
        "tenant_id != 'acme' AND endsWith(type, '_failed')",
    ),
    "a person's completed runs": search(
        "actor:user-3 type:run_completed", lambda each: each.actor == "user-3" and each.type == "run_completed",
        "actor_id = 'user-3' AND type = 'run_completed'",
    ),
    "a tool": search(
        "tool:cancel_reservation", lambda each: each.tool == "cancel_reservation", "tool_name = 'cancel_reservation'"
    ),
    "failed calls of a tool": search(
        "tool:(think OR calculate OR book_reservation) outcome:failed",
        lambda each: each.tool in ("think", "calculate", "book_reservation") and each.outcome == "failed",
        "tool_name IN ('think', 'calculate', 'book_reservation') AND endsWith(type, '_failed')",
    ),
    "one call": search(f"tool_call:{CALL}", lambda each: each.call == CALL, f"tool_call_id = '{CALL}'"),
    "a model": search("model:gpt-4o-mini", lambda each: each.model == "gpt-4o-mini", "model = 'gpt-4o-mini'"),
    "a provider's use": search(
        "provider:openai type:token_usage_updated", lambda each: each.type == "token_usage_updated",
        "provider = 'openai' AND type = 'token_usage_updated'",
    ),
    "what was denied": search("outcome:denied", lambda each: each.outcome == "denied", "endsWith(type, '_denied')"),
    "answers in a tenant": search(
        "outcome:(granted OR denied) tenant:globex",
        lambda each: each.outcome in ("granted", "denied") and each.tenant == "globex",
        "match(type, '_(granted|denied)$') AND tenant_id = 'globex'",
    ),
    "an error": search("error:timeout", lambda each: each.error == "timeout", "error_code = 'timeout'"),
    "other errors": search(
        "has:error -error:task_not_solved", lambda each: each.error not in ("", "task_not_solved"),
        "error_code NOT IN ('', 'task_not_solved')",
    ),
    "dear": search("cost:>0.1", lambda each: each.cost is not None and each.cost > Decimal("0.1"), cost_above("0.1")),
    "cheap": search(
        "cost:<=0.0101475", lambda each: each.cost is not None and each.cost <= Decimal("0.0101475"),
        "cost_usd <= toDecimal128('0.0101475', 18)",
    ),
    "without a price": search(
        "type:token_usage_updated -has:cost", lambda each: each.type == "token_usage_updated" and each.cost is None,
        "type = 'token_usage_updated' AND isNull(cost_usd)",
    ),
    "many tokens": search(
        "input_tokens:>8000", lambda each: (each.tokens_in or 0) > 8_000, "input_tokens > 8000"
    ),
    "few tokens": search(
        "output_tokens:<60 -type:run_completed",
        lambda each: each.tokens_out is not None and each.tokens_out < 60 and each.type != "run_completed",
        "output_tokens < 60 AND type != 'run_completed'",
    ),
    "between two times": search(
        "type:run_started", lambda each: each.type == "run_started" and in_time(each),
        f"type = 'run_started' AND {IN_SQL}", since=SINCE, until=UNTIL,
    ),
    "a phrase": search(
        '"travel insurance for" type:message_sent',
        lambda each: each.type == "message_sent" and "travel insurance for" in each.data,
        "type = 'message_sent' AND position(data, 'travel insurance for') > 0",
    ),
    "no such phrase": search(
        f'session:{SESSION} type:message_sent -"reservation"',
        lambda each: each.session == SESSION and each.type == "message_sent" and "reservation" not in each.data,
        f"session_id = '{SESSION}' AND type = 'message_sent' AND position(data, 'reservation') = 0",
    ),
    "a text that is no SQL": search(
        '''session:"' OR 1=1 --"''', lambda each: each.session == "' OR 1=1 --", "session_id = '\\' OR 1=1 --'"
    ),
    "an event": event(EVENT_ID),
}  # fmt: skip

COUNTS = {
    "how many": count(EVERYTHING, everything, "1"),
    "how many failed": count("outcome:failed", lambda each: each.outcome == "failed", "endsWith(type, '_failed')"),
    "how many of a tenant": count("tenant:globex", lambda each: each.tenant == "globex", "tenant_id = 'globex'"),
    "how many of a person": count("actor:user-2", lambda each: each.actor == "user-2", "actor_id = 'user-2'"),
    "how many calls of a tool": count(
        "tool:think type:tool_call_started", lambda each: each.tool == "think" and each.type == "tool_call_started",
        "tool_name = 'think' AND type = 'tool_call_started'",
    ),
    "how many in a time": count("", in_time, IN_SQL, since=SINCE, until=UNTIL),
    "how many are dear": count(
        "cost:>0.15", lambda each: each.cost is not None and each.cost > Decimal("0.15"), cost_above("0.15")
    ),
    "how many speak of it": count(
        '"certificate"', lambda each: "certificate" in each.data, "position(data, 'certificate') > 0"
    ),
    "how many of nobody": count("run:none", lambda each: each.run == "none", "run_id = 'none'"),
    "types": facets(("type", "type"), lambda each: each.type, everything, "1"),
    "tools that failed": facets(
        ("tool", "tool_name"), lambda each: each.tool, lambda each: each.type == "tool_call_failed",
        "type = 'tool_call_failed'", "type:tool_call_failed",
    ),
    "tenants": facets(("tenant", "tenant_id"), lambda each: each.tenant, everything, "1"),
    "whose runs failed": facets(
        ("actor", "actor_id"), lambda each: each.actor, lambda each: each.type == "run_failed",
        "type = 'run_failed'", "type:run_failed",
    ),
    "events by hour": histogram(EVERYTHING, "hour", everything, "1"),
    "events by day": histogram(EVERYTHING, "day", everything, "1"),
    "failures by hour": histogram(
        "type:run_failed", "hour", lambda each: each.type == "run_failed", "type = 'run_failed'"
    ),
}  # fmt: skip

LOGS = {
    "what a session did": log(SESSION, everything, "1"),
    "what a session did first": log(SESSION, everything, "1", limit=7),
    "what a run of it did": log(SESSION, lambda each: each.run == RUN, f"run_id = '{RUN}'", run=RUN),
    "its failed calls": log(
        "airline-01", lambda each: each.type in ("tool_call_failed", "run_failed"),
        "type IN ('tool_call_failed', 'run_failed')", type=["tool_call_failed", "run_failed"],
    ),
    "its first hour": log(
        "airline-12", lambda each: NOON <= each.at <= NOON + dt.timedelta(minutes=13),
        "occurred_at >= '2026-10-01 12:00:00' AND occurred_at <= '2026-10-01 12:13:00'",
        since=SINCE, until="2026-10-01T12:13:00Z",
    ),
    "steps of a session": timeline(SESSION),
    "steps of a run": timeline(SESSION, RUN),
    "steps of a run and of what it started": timeline("airline-10", "airline-10-trial-0"),
    "how two runs differ": compare("airline-07-trial-0", "airline-07-trial-1"),
    "how two runs of two sessions differ": compare("airline-02-trial-1", "airline-31-trial-1"),
    "how a run differs from one that failed": compare("airline-11-trial-3", "airline-10-trial-0"),
}  # fmt: skip

RUNS = {
    "runs": runs(EVERYTHING, everything, "1"),
    **{
        f"runs that are {status}": runs(
            EVERYTHING, lambda run, status=status: status_of(run) == status,  # type: ignore[misc]  # bound at once
            f"status = '{status}'", status=[status],
        )
        for status in ("completed", "failed", "timeout", "abandoned", "running")
    },
    "runs that did not complete": runs(
        "-outcome:completed tenant:acme",
        lambda run: status_of(run) != "completed" and run[0].tenant == "acme",
        "status != 'completed' AND tenant_id = 'acme'",
    ),
    "runs with a failed call": runs(
        "type:tool_call_failed", lambda run: any(each.type == "tool_call_failed" for each in run),
        "(session_id, run_id) IN (SELECT session_id, run_id FROM events WHERE type = 'tool_call_failed')",
    ),
    "runs that used a tool": runs(
        "tool:book_reservation", lambda run: any(each.tool == "book_reservation" for each in run),
        "(session_id, run_id) IN (SELECT session_id, run_id FROM events WHERE tool_name = 'book_reservation')",
    ),
    "runs of a person": runs(
        "actor:user-4", lambda run: run[0].actor == "user-4",
        "(session_id, run_id) IN (SELECT session_id, run_id FROM events WHERE actor_id = 'user-4')",
    ),
    "dear runs": runs(
        "cost:>0.2",
        lambda run: any(
            (summed(each.cost for each in run if each.book == book) or 0) > Decimal("0.2")
            for book in ("increments", "totals")
        ),
        "greatest(ifNull(updated_cost_usd, 0), ifNull(completed_cost_usd, 0)) > 0.2",
    ),
    "long runs": runs(
        "duration:>5m",
        lambda run: any(each.type.startswith("run_") and each.type != "run_started" for each in run)
        and max(each.at for each in run if status_of([each]) != "running") - run[0].at > dt.timedelta(minutes=5),
        "ended_at > started_at + INTERVAL 5 MINUTE",
    ),
    "runs of a time": runs(
        "type:run_failed",
        lambda run: any(each.type == "run_failed" for each in run) and in_time(run[0]),
        "started_at >= '2026-10-01 12:00:00' AND started_at <= '2026-10-02 12:00:00' AND (session_id, run_id) IN"
        " (SELECT session_id, run_id FROM events WHERE type = 'run_failed')",
        since=SINCE, until=UNTIL,
    ),
    "runs that never ended": endless(EVERYTHING, everything, "1"),
    "runs of a tenant that never ended": endless(
        "tenant:globex", lambda run: run[0].tenant == "globex", "tenant_id = 'globex'"
    ),
    "sessions": sessions(EVERYTHING, everything, "1"),
    "sessions of a tenant": sessions(
        "tenant:acme", lambda events: events[0].tenant == "acme", "tenant_id = 'acme'"
    ),
    "sessions with a timeout": sessions(
        "type:run_timeout", lambda events: any(each.type == "run_timeout" for each in events),
        "session_id IN (SELECT session_id FROM events WHERE type = 'run_timeout')",
    ),
    "a session's figures": sessions(
        f"session:{SESSION}", lambda events: events[0].session == SESSION, f"session_id = '{SESSION}'"
    ),
}  # fmt: skip

COSTS = {
    "what all cost": usage(EVERYTHING, (), everything, "1"),
    "what an agent cost": usage("agent:airline-gpt-4o", (), everything, "agent_id = 'airline-gpt-4o'"),
    "by agent and day": usage(EVERYTHING, ("agent", "day"), everything, "1"),
    "by model": usage(EVERYTHING, ("model",), everything, "1"),
    "by provider and tenant": usage(EVERYTHING, ("provider", "tenant"), everything, "1"),
    "by actor": usage("tenant:acme", ("actor",), lambda each: each.tenant == "acme", "tenant_id = 'acme'"),
    "by hour": usage("model:gpt-4o", ("hour",), lambda each: each.model == "gpt-4o", "model = 'gpt-4o'"),
    "by month": usage(EVERYTHING, ("month",), everything, "1"),
    "of some time": usage(EVERYTHING, ("tenant",), in_time, IN_SQL, since=SINCE, until=UNTIL),
    "of one session": usage(
        f"session:{SESSION}", ("model",), lambda each: each.session == SESSION, f"session_id = '{SESSION}'"
    ),
    "spent in all": costs(EVERYTHING, everything, "1"),
    "spent by a tenant": costs("tenant:globex", lambda each: each.tenant == "globex", "tenant_id = 'globex'"),
}  # fmt: skip

APPROVALS = {
    "who approved what": approvals(EVERYTHING, everything, "1"),
    "who approved a call": approvals(
        f"tool_call:{APPROVED}", lambda each: each.call == APPROVED, f"tool_call_id = '{APPROVED}'"
    ),
    "what was not granted": approvals(
        "outcome:denied", lambda each: each.outcome == "denied", "status = 'denied'"
    ),
    "approvals of a tool": approvals(
        "tool:cancel_reservation tenant:acme",
        lambda each: each.tool == "cancel_reservation" and each.tenant == "acme",
        "tool_name = 'cancel_reservation' AND tenant_id = 'acme'",
    ),
}  # fmt: skip

QUESTIONS: dict[str, Asked] = EVENTS | COUNTS | LOGS | RUNS | COSTS | APPROVALS
