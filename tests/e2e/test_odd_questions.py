"""Some sixty questions about a log in which much is odd: every door says what plain Python makes of docs/reads.md."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from door_questions import Asked
from doors import NO_COMMAND, Doors, opened_doors
from made_keys import made_key
from odd_log import BEGAN, GONE, SESSIONS, Odd, events, odds, plain, status, summed
from odd_questions import (
    EVER,
    anomalies,
    approvals,
    at,
    by_append,
    compare,
    costs,
    count,
    duration,
    facets,
    histogram,
    log,
    named,
    runs,
    search,
    sessions,
    timeline,
    told_events,
    usage,
)
from sealing_scene import Topic, policy_of
from trailhouse.operate.erase.orders import Operator, erase
from trailhouse.operate.erase.sought import Found
from trailhouse.proof.policy import OperatorKey
from trailhouse.query import AlteredEvent, AuditReader
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = [pytest.mark.cluster, pytest.mark.long]
TOOL_ITEMS = 20
"""Of a page that a tool gives."""
TIMES = {"since": "2026-03-28T23:00:00Z", "until": "2026-03-29T02:00:00Z"}


def in_time(each: Odd) -> bool:
    """Tell whether an event lies between the two times that questions name."""
    return (
        BEGAN.replace(hour=23, minute=0) <= at(each.us) <= BEGAN.replace(day=29, hour=2, minute=0)
    )


def yes(_: Any) -> bool:
    """Take all there is."""
    return True


def sums(run: Sequence[Odd]) -> list[Any]:
    """Return the cost of a run by both books."""
    return [
        summed(each.cost for each in run if each.book == book) for book in ("increments", "totals")
    ]


def questions(all_of: Sequence[Odd]) -> dict[str, Asked]:
    """Return the questions, and the answers of plain Python to them."""
    return {
        name: asked
        for some in (_of_events, _of_counts, _of_runs, _of_costs, _of_steps)
        for name, asked in some(all_of).items()
    }


def _of_events(all_of: Sequence[Odd]) -> dict[str, Asked]:
    return {
        "newest first": search(all_of, "", yes),
        "newest first, ever": search(all_of, "", yes, until=EVER),
        "oldest first": search(all_of, "", yes, oldest=True, until=EVER),
        "as appended": by_append(all_of, "", yes),
        "a session": search(all_of, "session:s", lambda e: e.session == "s", until=EVER),
        "a session that ends in a blank": search(all_of, 'session:"s "', lambda e: e.session == "s "),
        "a run of a tenant": search(all_of, "run:r tenant:t-1", lambda e: (e.run, e.tenant) == ("r", "t-1")),
        "of no tenant": search(all_of, "-has:tenant", lambda e: not e.tenant),
        "of an empty tenant": search(all_of, 'tenant:""', lambda e: False),
        "of no agent": search(all_of, "-has:agent", lambda e: not e.agent),
        "the least cost": search(
            all_of, "cost:0.000000000000000002", lambda e: plain(e.cost) == "0.000000000000000002"
        ),
        "credits": search(all_of, "cost:<0", lambda e: e.cost is not None and e.cost < 0),
        "costs of more than a double": search(
            all_of, "cost:>=12345678901234567890.123456789012345679",
            lambda e: e.cost is not None and plain(e.cost) == "12345678901234567890.123456789012345679",
        ),
        "what failed": search(all_of, "outcome:failed", lambda e: e.outcome == "failed"),
        "what did not fail": search(
            all_of, "-outcome:failed session:S", lambda e: e.outcome != "failed" and e.session == "S"
        ),
        "text that was erased": search(all_of, f'"{GONE}"', lambda e: GONE in e.data),
        "tokens beyond a double": search(all_of, "input_tokens:>9007199254740992", lambda e: (e.tokens or 0) > 2**53),
    }  # fmt: skip


def _of_counts(all_of: Sequence[Odd]) -> dict[str, Asked]:
    return {
        "how many": count(all_of, "", yes),
        "how many priced": count(all_of, "has:cost", lambda e: e.cost is not None, "isNotNull(cost_usd)"),
        "how many of a run": count(all_of, "run:r", lambda e: e.run == "r", "run_id = 'r'"),
        "hours": histogram(all_of, "hour", "Europe/Berlin", 12),
        "days": histogram(all_of, "day", "Europe/Berlin", 48),
        "days of a zone half an hour off": histogram(all_of, "day", "Asia/Kolkata", 48),
        "facet of runs": facets(all_of, "", "run", lambda e: e.run, yes),
        "facet of tenants": facets(
            all_of, "type:run_cancelled", "tenant", lambda e: e.tenant, lambda e: e.type == "run_cancelled"
        ),
        "facet of outcomes": facets(all_of, "", "outcome", lambda e: e.outcome, yes),
        "facet of errors": facets(all_of, "-tenant:t-1", "error", lambda e: e.error, lambda e: e.tenant != "t-1"),
    }  # fmt: skip


def _of_runs(all_of: Sequence[Odd]) -> dict[str, Asked]:
    return {
        "runs": runs(all_of, "", yes, "1"),
        "runs that failed": runs(all_of, "outcome:failed", lambda run: status(run) == "failed", "status = 'failed'"),
        "runs that did not": runs(all_of, "-outcome:failed", lambda run: status(run) != "failed", "status != 'failed'"),
        "dear runs": runs(
            all_of, "cost:>1", lambda run: any(each is not None and each > 1 for each in sums(run)),
            "updated_cost_usd > 1 OR completed_cost_usd > 1",
        ),
        "runs of no cost": runs(
            all_of, "-cost:>=0", lambda run: not any(each is not None and each >= 0 for each in sums(run))
        ),
        "runs without such an error": runs(all_of, "-error:e", lambda run: all(each.error != "e" for each in run)),
        "runs of two conditions": runs(
            all_of, "type:run_failed tool:pay",
            lambda run: any(e.type == "run_failed" for e in run) and any(e.tool == "pay" for e in run),
        ),
        "runs that took no time": runs(all_of, "duration:0", lambda run: duration(run) == 0),
        "sessions": sessions(all_of, "", yes),
        "sessions of a run": sessions(all_of, "run:x", lambda events: any(e.run == "x" for e in events)),
    }  # fmt: skip


def _of_costs(all_of: Sequence[Odd]) -> dict[str, Asked]:
    return {
        "usage": usage(all_of, "", (), yes),
        "usage by tenant and model": usage(all_of, "", ("tenant", "model"), yes),
        "usage by day of Berlin": usage(all_of, "", ("day",), yes, "Europe/Berlin"),
        "usage by hour of Berlin": usage(
            all_of, "session:s/1", ("hour",), lambda e: e.session == "s/1", "Europe/Berlin"
        ),
        "usage by hour of New York, ever": usage(all_of, "", ("hour",), yes, "America/New_York"),
        "usage by hour of Berlin, ever": usage(all_of, "", ("hour",), yes, "Europe/Berlin"),
        "usage by month": usage(all_of, "", ("month", "agent"), yes),
        "usage of a time": usage(all_of, f"since:{TIMES['since']} until:{TIMES['until']}", ("tenant",), in_time),
        "costs": costs(all_of, "", yes),
        "costs of a model": costs(all_of, "model:m", lambda e: e.model == "m"),
    }  # fmt: skip


def _of_steps(all_of: Sequence[Odd]) -> dict[str, Asked]:
    return {
        "a log": log(all_of, "s", yes),
        "a log of a run": log(all_of, "s", lambda e: e.run == "x", run="x"),
        "a log of a time": log(all_of, "s", in_time, **TIMES),
        "steps of a session": timeline(all_of, "s"),
        "steps of a run": timeline(all_of, "S", "r"),
        "two tenants": compare(all_of, ("t-1", "s", "r"), ("", "s", "r")),
        "two sessions": compare(all_of, ("t-2", "s", "r"), ("t-1", "S", "r")),
        "approvals": approvals(all_of, "", yes),
        "denials": approvals(all_of, "outcome:denied", lambda e: e.type == "tool_approval_denied"),
        "answers of somebody": approvals(
            all_of, "actor:user-1 tenant:t-1", lambda e: (e.actor, e.tenant) == ("user-1", "t-1")
        ),
        "anomalies": anomalies(all_of, "", yes),
        "anomalies of a tenant": anomalies(all_of, "tenant:t-1", lambda e: e.tenant == "t-1"),
    }  # fmt: skip


def test_every_door_says_of_odd_events_what_the_documentation_says(
    database: ClickHouseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before some are erased and after, with copies that are not merged, to readers of all tenants and of one."""
    monkeypatch.setenv("TRAILHOUSE_READER_BUDGET_SECONDS", "100")
    monkeypatch.chdir(tmp_path)
    with (
        ClickHouse(database) as clickhouse,
        contextmanager(opened_doors)(database, tmp_path) as doors,
    ):
        topic = Topic(clickhouse)
        made = events()
        topic.append(made)
        topic.append(made[::3])
        wrong = list(_wrong(doors, erased=False, all_doors=False))
        _erase(clickhouse)
        topic.append([each for each in made[::2] if GONE.encode() not in each.record])
        wrong += _wrong(doors, erased=True)
        wrong += _wrong_walks(doors)
    assert wrong == [], "\n".join(wrong)


def _erase(clickhouse: ClickHouse) -> None:
    operator = made_key(8)
    key = OperatorKey(name="ops", public_key=base64.b64encode(operator.public_key).decode())
    policy = msgspec.structs.replace(policy_of([]), operators=(key,))
    digests = sorted(
        hashlib.sha256(each.record).digest() for each in events() if GONE.encode() in each.record
    )
    found = Found(digests=tuple(digests), sessions=SESSIONS, hold_keys=frozenset())
    erase(clickhouse, policy, Operator(name="ops", signer=operator), found, reason="asked for")


def _wrong(doors: Doors, *, erased: bool, all_doors: bool = True) -> Iterator[str]:
    """Yield each answer that is not that of plain Python, with the door that gave it."""
    when = "erased" if erased else "whole"
    every = odds(erased=erased)
    asked = questions(every)
    assert len(asked) >= 59
    for name, question in asked.items():
        answers = {"Python": doors.python(question)}
        if all_doors:
            answers["HTTP"] = doors.http(question)
            answers["MCP"] = asyncio.run(doors.mcp_walked(question, TOOL_ITEMS))
        if all_doors and question.operation not in NO_COMMAND:
            answers["command"] = doors.command(question)
        yield from _told(f"{when}: {name}", question, answers)
        if question.sql:
            rows = sorted([_as_text(value) for value in row] for row in doors.sql(question))
            expected = sorted([_as_text(value) for value in row] for row in _in_sql(question))
            if rows != expected:
                yield f"{when}: {name}: SQL: {_apart(rows, expected)}"
    for tenant in ("t-1", "t-2"):
        asked = questions([each for each in every if each.tenant == tenant])
        with AuditReader(tenant, config=doors.config) as reader:
            bound = doors._replace(reader=reader)
            for name, question in asked.items():
                yield from _told(
                    f"{when}: {name}", question, {f"reader of {tenant}": bound.python(question)}
                )


def _told(name: str, question: Asked, answers: dict[str, Any]) -> Iterator[str]:
    for door, answer in answers.items():
        told = question.told(answer)
        if told != question.expected:
            yield f"{name}: {door}: {_apart(told, question.expected)}"


def _apart(told: Any, expected: Any) -> str:
    if not isinstance(told, list) or not isinstance(expected, list):
        return f"{told!r} for {expected!r}"
    more = [each for each in told if told.count(each) > expected.count(each)][:3]
    less = [each for each in expected if expected.count(each) > told.count(each)][:3]
    return f"{len(told)} for {len(expected)}; told {more!r}, expected {less!r}"


def _as_text(value: Any) -> str:
    try:
        return str(plain(value)) if value not in (None, "") else ""
    except ArithmeticError:
        return str(value)


def _in_sql(question: Asked) -> list[list[Any]]:
    """Return what is expected of the statement, which tells less."""
    match question.operation:
        case "runs":
            return [[*row[:7], row[12], row[13], row[17]] for row in question.expected]
        case "approvals":
            return [row[:7] for row in question.expected]
        case "costs":
            return [question.expected[:1]]
        case _:
            return list(question.expected)


def _wrong_walks(doors: Doors) -> Iterator[str]:
    """Yield what walks by small pages, a follower and an export have that a whole answer has not."""
    every = odds(erased=True)
    for name, limit in (("search", 7), ("runs", 1), ("sessions", 2)):
        whole = _walk(doors, name, 500)
        if _walk(doors, name, limit) != whole:
            yield f"walk: {name} by {limit}: not what one page has"
    if told_events(_walk(doors, "search", 13)) != named(every[::-1]):
        yield "walk: search by 13: not what plain Python has"
    with doors.reader.follow(from_start=True) as follower:
        followed = list(islice(follower, len(every)))
    erased = sum(isinstance(each, AlteredEvent) for each in followed)
    if erased != sum(each.is_erased for each in every):
        yield f"follow: {erased} erased"
    if sorted(each.event_id for each in followed) != sorted(each.event_id for each in every):
        yield "follow: not each event once"
    exported = doors.reader.export(Path(doors.config.database), "")
    if (exported.rows, exported.erased, exported.altered) != (len(every) - erased, erased, 0):
        yield f"export: {exported.rows} rows, {exported.erased} erased, {exported.altered} altered"


def _walk(doors: Doors, name: str, limit: int) -> list[Any]:
    found: list[Any] = []
    asked = {"until": EVER, "limit": str(limit)}
    while True:
        page = doors.api.client.get(f"/api/v1/{name}", params=asked).json()
        found += page["items"]
        if page["next"] is None:
            return found
        asked["cursor"] = page["next"]
