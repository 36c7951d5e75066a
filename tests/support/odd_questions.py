"""Questions about the odd log, in the words of the doors, and what plain Python answers to them; beside `odd_log`."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from door_questions import Asked
from odd_log import (
    BEGAN,
    ENDINGS,
    EPOCH,
    Odd,
    books,
    calls,
    grouped,
    plain,
    status,
    summed,
    told_books,
)

Wanted = Callable[[Odd], bool]
NOW_US = (dt.datetime.now(dt.UTC) - EPOCH) // dt.timedelta(microseconds=1)
EVER = "9999-12-31T23:59:59.999999Z"
LIMIT = 500
BERLIN = ZoneInfo("Europe/Berlin")
_Q = dict[str, Any]


def at(us: int) -> dt.datetime:
    """Return the time of *us*."""
    return EPOCH + dt.timedelta(microseconds=us)


def of_runs(odds: Iterable[Odd]) -> dict[tuple[str, str, str], list[Odd]]:
    """Return the events of each run, by tenant, session and run."""
    return grouped(
        (each for each in odds if each.run), lambda each: (each.tenant, each.session, each.run)
    )


def named(found: Sequence[Odd]) -> list[list[str]]:
    """Return what tells events apart, contents of one id too."""
    return [[each.event_id, "" if each.is_erased else each.key.hex()] for each in found]


def told_events(items: Any) -> list[list[str]]:
    """Return the same of an answer."""
    return [[each["event_id"], (each["record_sha256"] or "")[:32]] for each in items]


def search(
    odds: Sequence[Odd], q: str, wanted: Wanted, *, oldest: bool = False, until: str = ""
) -> Asked:
    """Ask for events in occurrence order."""
    found = [each for each in odds if wanted(each) and (until or oldest or each.us <= NOW_US)]
    asked: _Q = {"q": q, "limit": LIMIT} | ({"order": "oldest"} if oldest else {})
    asked |= {"until": until} if until else {}
    return Asked("search", asked, named(found if oldest else found[::-1]), told_events, "")


def by_append(odds: Sequence[Odd], q: str, wanted: Wanted) -> Asked:
    """Ask for events in append order, the latest first."""
    found = sorted((each for each in odds if wanted(each)), key=lambda each: -each.place)
    return Asked("search", {"q": q, "limit": LIMIT, "by": "append"}, named(found), told_events, "")


def count(odds: Sequence[Odd], q: str, wanted: Wanted, sql: str = "") -> Asked:
    """Ask how many there are."""
    number = sum(map(wanted, odds))
    statement = f"SELECT count() FROM events WHERE {sql or '1'}"
    return Asked("count", {"q": q}, [[number]], lambda value: [[value]], statement)


def runs(
    odds: Sequence[Odd], q: str, wanted: Callable[[list[Odd]], bool], sql: str = "", **how: Any
) -> Asked:
    """Ask for runs, the one that started last first."""
    found = [run for run in of_runs(odds).values() if wanted(run)]
    found.sort(key=lambda run: (run[0].us, run[0].session, run[0].tenant, run[0].run), reverse=True)
    return Asked(
        "runs",
        {"q": q, "limit": LIMIT, "until": EVER} | how,
        [
            [
                run[0].session, run[0].tenant, run[0].run, next((each.agent for each in run if each.agent), ""),
                status(run), len(run), sum(each.type == "tool_call_started" for each in run),
                sum(each.type == "error_occurred" or each.type.endswith("_failed") for each in run),
                sum(each.type in ENDINGS for each in run), duration(run), *books(run),
            ]
            for run in found
        ],
        lambda items: [
            [
                each["session_id"], each["tenant_id"] or "", each["run_id"], each["agent_id"] or "", each["status"],
                each["events"], each["tool_calls"], each["error_events"], each["ending_events"],
                each["duration_seconds"], *told_books(each["books"]),
            ]
            for each in items
        ],
        "SELECT session_id, tenant_id, run_id, agent_id, status, events, tool_calls, updated_input_tokens,"
        f" toString(updated_cost_usd), toString(completed_cost_usd) FROM runs WHERE {sql}" if sql else "",
    )  # fmt: skip


def duration(run: Sequence[Odd]) -> float | None:
    ends = [each.us for each in run if each.type in ENDINGS]
    return (max(ends) - run[0].us) / 1_000_000 if ends else None


def sessions(odds: Sequence[Odd], q: str, wanted: Callable[[list[Odd]], bool]) -> Asked:
    """Ask for sessions, the one that started last first."""
    found = [
        each
        for each in grouped(odds, lambda each: (each.session, each.tenant)).values()
        if wanted(each)
    ]
    found.sort(key=lambda of: (of[0].us, of[0].session, of[0].tenant), reverse=True)
    return Asked(
        "sessions",
        {"q": q, "limit": LIMIT, "until": EVER},
        [
            [
                of[0].session, of[0].tenant, len(of), len({each.run for each in of if each.run}),
                sorted({each.agent for each in of if each.agent}), sorted({each.model for each in of if each.model}),
                dict(Counter(status(run) for run in grouped((e for e in of if e.run), lambda e: e.run).values())),
                *books(of),
            ]
            for of in found
        ],
        lambda items: [
            [
                each["session_id"], each["tenant_id"] or "", each["events"], each["runs"], each["agents"],
                each["models"],
                {name: number for name, number in each["runs_by_status"].items() if number},
                *told_books(each["books"]),
            ]
            for each in items
        ],
        "",
    )  # fmt: skip


_KEYS: dict[str, tuple[str, Callable[[Odd], str]]] = {
    "agent": ("agent", lambda each: each.agent),
    "tenant": ("tenant", lambda each: each.tenant),
    "model": ("model", lambda each: each.model),
    "actor": ("actor", lambda each: each.actor),
}


def period(unit: str, zone: dt.tzinfo, each: Odd) -> str:
    """Return when the period of an event began, as the zone writes it."""
    local = at(each.us)
    if (
        dt.datetime.min.replace(tzinfo=dt.UTC) + dt.timedelta(days=2)
        <= local
        < dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
    ):
        local = local.astimezone(zone)
    start = local.replace(minute=0, second=0, microsecond=0)
    if unit != "hour":
        start = start.replace(hour=0, fold=0)
    if unit == "month":
        start = start.replace(day=1)
    return start.isoformat().replace("+00:00", "Z")


def usage(
    odds: Sequence[Odd], q: str, by: Sequence[str], wanted: Wanted, zone: str = "UTC"
) -> Asked:
    """Ask for both books by groups."""
    where = ZoneInfo(zone) if zone != "UTC" else dt.UTC

    def key(each: Odd) -> tuple[str, ...]:
        return tuple(
            _KEYS[name][1](each) if name in _KEYS else period(name, where, each) for name in by
        )

    groups = grouped((each for each in odds if each.book and wanted(each)), key)
    return Asked(
        "usage",
        {"q": q, "zone": zone} | ({"by": list(by)} if by else {}),
        sorted([*group, *books(of)] for group, of in groups.items()),
        lambda value: sorted(
            [
                *(each["group"][_KEYS[name][0] if name in _KEYS else "period_start"] or "" for name in by),
                *told_books(each["books"]),
            ]
            for each in (value["groups"] if by else [{"group": {}, "books": value["total"]}])
        ),
        "",
    )  # fmt: skip


def costs(odds: Sequence[Odd], q: str, wanted: Wanted) -> Asked:
    """Ask what was spent by both books, and of how many runs no price is known."""
    its = [each for each in odds if each.book in ("increments", "totals") and wanted(each)]
    spent = of_runs(its).values()
    sums = [
        plain(summed(each.cost for each in its if each.book == book))
        for book in ("increments", "totals")
    ]
    return Asked(
        "costs",
        {"q": q},
        [*sums, len(spent), sum(all(each.cost is None for each in run) for run in spent)],
        lambda value: [
            plain(value["total"]["increments_usd"]), plain(value["total"]["totals_usd"]), value["total"]["runs"],
            value["total"]["unmapped_runs"],
        ],
        "SELECT toString(sumIf(cost_usd, book = 'updated')) FROM token_usage" if not q else "",
    )  # fmt: skip


def histogram(odds: Sequence[Odd], unit: str, zone: str, hours: int) -> Asked:
    """Ask how many events there were when, zeros left out of the answer here."""
    since, until = BEGAN - dt.timedelta(hours=2), BEGAN + dt.timedelta(hours=hours)
    within = [each for each in odds if since <= at(each.us) <= until]
    found = Counter(period(unit, ZoneInfo(zone), each) for each in within)
    return Asked(
        "histogram",
        {"q": "", "by": unit, "zone": zone, "since": _text(since), "until": _text(until)},
        sorted([start, number] for start, number in found.items()),
        lambda value: sorted([each["starts_at"], each["events"]] for each in value if each["events"]),
        "",
    )  # fmt: skip


def _text(moment: dt.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def facets(
    odds: Sequence[Odd], q: str, field: str, value_of: Callable[[Odd], str], wanted: Wanted
) -> Asked:
    """Ask for the most frequent values of a field, the events without it being one."""
    found = Counter(value_of(each) for each in odds if wanted(each))
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0].encode()))
    return Asked(
        "facets",
        {"q": q, "field": [field], "limit": 3},
        [[[name, number] for name, number in ordered[:3]], len(ordered[3:])],
        lambda value: [
            [[each["value"] or "", each["events"]] for each in value[0]["values"]], value[0]["other_values"],
        ],
        "",
    )  # fmt: skip


def log(odds: Sequence[Odd], session: str, wanted: Wanted, **how: Any) -> Asked:
    """Ask for the log of a session, in append order, what was erased left out."""
    its = [each for each in odds if each.session == session and wanted(each) and not each.is_erased]
    return Asked(
        "log",
        {"session": session, "limit": LIMIT} | how,
        [each.event_id for each in sorted(its, key=lambda each: each.place)],
        lambda items: [each["event_id"] for each in items if "altered" not in each],
        "",
    )


def timeline(odds: Sequence[Odd], session: str, run: str | None = None) -> Asked:
    """Ask for the steps of a session, or of a run of whatever tenant."""
    its = [each for each in odds if each.session == session and run in (None, each.run)]
    steps = calls(its, "tool_call_", "tool_call_started", lambda each: each.call)
    steps += calls(its, "tool_approval_", "tool_approval_requested", lambda each: each.approval)
    stepped = {each.key for step in steps for each in step}
    alone = [[each] for each in its if each.key not in stepped]
    return Asked(
        "timeline",
        {"session": session, "limit": LIMIT} | ({"run": run} if run else {}),
        sorted(sorted(each.event_id for each in step) for step in (*steps, *alone)),
        lambda value: sorted(
            sorted(step["event_ids"]) for run in value["runs"] for step in run["steps"]
        ),
        "",
    )


def compare(odds: Sequence[Odd], a: tuple[str, str, str], b: tuple[str, str, str]) -> Asked:
    """Ask for two runs side by side, each named by tenant, session and run."""
    sides = [
        [each for each in odds if (each.tenant, each.session, each.run) == side] for side in (a, b)
    ]
    names = ("tenant", "session", "run")
    asked = {
        f"{name}_{letter}": given
        for letter, side in (("a", a), ("b", b))
        for name, given in zip(names, side, strict=True)
    }
    return Asked(
        "compare",
        asked,
        [[status(side) if side else None, len(side), *books(side)] for side in sides],
        lambda value: [
            [value[side]["status"], value[side]["events"], *told_books(value[side]["books"])] for side in "ab"
        ],
        "",
    )  # fmt: skip


def approvals(odds: Sequence[Odd], q: str, wanted: Wanted) -> Asked:
    """Ask for approvals of which any event is wanted; what is told of each, in no order."""
    every = calls(odds, "tool_approval_", "tool_approval_requested", lambda each: each.approval)
    return Asked(
        "approvals",
        {"q": q, "limit": LIMIT},
        sorted(map(partial(_approval, odds, every), (each for each in every if any(map(wanted, each))))),
        lambda value: sorted(
            [
                each["tenant_id"] or "", each["session_id"], each["run_id"] or "", each["status"], each["answers"],
                each["answered_by"] or "", each["ran_ungranted"], sorted(each["event_ids"]),
            ]
            for each in value["approvals"]
        ),
        "" if q else
        "SELECT tenant_id, session_id, run_id, status, answers, answered_by, ran_ungranted FROM approvals",
    )  # fmt: skip


def _approval(odds: Sequence[Odd], every: Sequence[list[Odd]], found: list[Odd]) -> list[Any]:
    first, answers = found[0], [each for each in found if each.type != "tool_approval_requested"]

    def of(each: Odd) -> tuple[str, ...]:
        return each.tenant, each.session, each.run

    same = [
        each[0]
        for each in every
        if of(each[0]) == of(first) and each[0].approval == first.approval != ""
    ]
    until = min((each.us for each in same if each.us > first.us), default=None)
    call = next((each.call for each in found if each.call), "")
    starts = [
        e.us
        for e in odds
        if e.type == "tool_call_started" and call and e.call == call and of(e) == of(first)
    ]
    called = next((us for us in starts if us >= first.us and (until is None or us < until)), None)
    if called is None and not any(each.us < first.us for each in same):
        called = max((us for us in starts if us < first.us), default=None)
    by_then = [each for each in answers if called is not None and each.us <= called]
    granted = bool(by_then) and by_then[-1].type == "tool_approval_granted"
    state = answers[-1].type.rpartition("_")[2] if answers else "open"
    return [
        *of(first), state, len(answers), answers[-1].approver if answers else "",
        called is not None and not granted, sorted(each.event_id for each in found),
    ]  # fmt: skip


def anomalies(odds: Sequence[Odd], q: str, wanted: Wanted) -> Asked:
    """Ask what does not fit of runs, calls and ids."""
    found: list[list[str]] = []
    hour_ago = NOW_US - 3_600_000_000
    for key, run in of_runs(odds).items():
        if any(map(wanted, run)):
            if status(run) == "running" and run[-1].us < hour_ago:
                found.append(["run_without_end", *key])
            if status(run) != "running" and all(each.type != "run_started" for each in run):
                found.append(["run_without_start", *key])
    for call in calls(odds, "tool_call_", "tool_call_started", lambda each: each.call):
        if any(map(wanted, call)):
            name = [call[0].tenant, call[0].session, call[0].run]
            if call[0].type != "tool_call_started" and call[0].call:
                found.append(["tool_call_without_start", *name])
            elif call[-1].type == "tool_call_started" and call[0].call:
                found.append(["tool_call_never_closed", *name])
    for (tenant, _), same in grouped(odds, lambda each: (each.tenant, each.event_id)).items():
        if len(same) > 1 and any(map(wanted, same)):
            found.append(["conflict", tenant, same[0].session, ""])
    kinds = {
        "run_without_end",
        "run_without_start",
        "tool_call_never_closed",
        "tool_call_without_start",
        "conflict",
    }
    return Asked(
        "anomalies",
        {"q": q, "limit": LIMIT},
        sorted(found),
        lambda value: sorted(
            [
                each["kind"], each["tenant_id"] or "", each["session_id"],
                "" if each["kind"] == "conflict" else each["run_id"] or "",
            ]
            for each in value["anomalies"] if each["kind"] in kinds
        ),
        "",
    )  # fmt: skip
