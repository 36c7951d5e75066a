"""Questions about what runs did step by step, and what plain Python answers to them; beside `door_questions`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from door_questions import (
    LIMIT,
    Asked,
    Fact,
    Wanted,
    books,
    by_run,
    chosen,
    facts,
    plain,
    status_of,
    summed,
    told_books,
)

_STATUS = {
    "tool_call_completed": "completed", "tool_call_failed": "failed",
    "tool_approval_granted": "granted", "tool_approval_denied": "denied",
}  # fmt: skip


def _told_once(prefix: str, opening: str) -> Iterator[list[Fact]]:
    """Yield what belongs together of the events of each call: what opens one again begins the next."""
    by_call: dict[tuple[str, ...], list[Fact]] = defaultdict(list)
    for each in facts():
        if each.type.startswith(prefix):
            by_call[each.tenant, each.session, each.run, each.call].append(each)
    for events in by_call.values():
        found: list[list[Fact]] = []
        for each in sorted(events, key=lambda each: (each.at, each.type != opening, each.key)):
            if not found or each.type == opening:
                found.append([])
            found[-1].append(each)
        yield from found


def _how(events: Sequence[Fact]) -> str:
    return _STATUS.get(events[-1].type, "open")


def timeline(session: str, run: str | None = None) -> Asked:
    """Return a question for the calls of a session, or of a run and those that it started: how each ended."""
    of = {run} | {key[2] for key, events in by_run().items() if events[0].parent == run}
    found = [
        [call[0].run, call[0].call, call[0].tool, _how(call)]
        for call in _told_once("tool_call_", "tool_call_started")
        if call[0].session == session and (run is None or call[0].run in of)
    ]
    some = (
        "" if run is None
        else f" AND run_id IN (SELECT run_id FROM runs WHERE run_id = '{run}' OR parent_run_id = '{run}')"
    )  # fmt: skip
    return Asked(
        "timeline",
        {"session": session, "limit": 500} | ({} if run is None else {"run": run}),
        sorted(found),
        lambda value: sorted(
            [each["run_id"], step["call_id"], step["name"], step["outcome"] or "open"]
            for each in value["runs"]
            for step in each["steps"]
            if step["kind"] == "tool_call"
        ),
        "SELECT run_id, tool_call_id, tool_name, status FROM tool_calls"
        f" WHERE session_id = '{session}'{some} ORDER BY run_id, tool_call_id, tool_name, status",
    )


def compare(run_a: str, run_b: str) -> Asked:
    """Return a question for two runs side by side: how each ended, and what each did and cost."""

    def row(run: list[Fact]) -> list[Any]:
        calls = sum(each.type == "tool_call_started" for each in run)
        return [run[0].run, status_of(run), len(run), calls, books(run)[3], books(run)[7]]

    return Asked(
        "compare",
        {"run_a": run_a, "run_b": run_b},
        [row(run) for name in (run_a, run_b) for key, run in by_run().items() if key[2] == name],
        lambda value: [
            [
                side["run_id"], side["status"], side["events"], side["tool_calls"],
                told_books(side["books"])[3], told_books(side["books"])[7],
            ]
            for side in (value["a"], value["b"])
        ],
        "SELECT run_id, status, events, tool_calls, toString(updated_cost_usd), toString(completed_cost_usd) FROM runs"
        f" WHERE run_id IN ('{run_a}', '{run_b}') ORDER BY run_id = '{run_b}'",
    )  # fmt: skip


def approvals(q: str, wanted: Wanted, sql: str, **how: Any) -> Asked:
    """Return a question for approvals: of which any event is wanted."""
    asked = sorted(
        (each for each in _told_once("tool_approval_", "tool_approval_requested")),
        key=lambda each: each[0].at,
        reverse=True,
    )
    found = [
        [
            each[0].run, each[0].call, each[0].tool, _how(each), _answered_by(each), _ran_ungranted(each, asked),
        ]
        for each in asked
        if any(map(wanted, each))
    ][:LIMIT]  # fmt: skip
    return Asked(
        "approvals",
        {"q": q, "limit": LIMIT} | how,
        found,
        lambda value: [
            [
                each["run_id"], each["tool_call_id"], each["tool_name"], each["status"], each["answered_by"] or "",
                each["ran_ungranted"],
            ]
            for each in value["approvals"]
        ],
        "SELECT run_id, tool_call_id, tool_name, status, answered_by, ran_ungranted FROM approvals"
        f" WHERE {sql} ORDER BY first_us DESC LIMIT {LIMIT}",
    )  # fmt: skip


def _answered_by(approval: list[Fact]) -> str:
    return approval[-1].approver if len(approval) > 1 else ""


def _ran_ungranted(approval: list[Fact], asked: list[list[Fact]]) -> bool:
    """Tell whether the call was started though the last answer by then was no grant."""
    first = approval[0]
    later = [
        each[0].at for each in asked
        if each[0].run == first.run and each[0].call == first.call and each[0].at > first.at
    ]  # fmt: skip
    calls = [
        each.at for each in by_run()[first.tenant, first.session, first.run]
        if each.type == "tool_call_started" and each.call == first.call and each.at >= first.at
        and not any(each.at >= at for at in later)
    ]  # fmt: skip
    answers = [each for each in approval[1:] if calls and each.at <= calls[0]]
    return bool(calls) and not (answers and answers[-1].type == "tool_approval_granted")


def endless(q: str, wanted: Callable[[list[Fact]], bool], sql: str) -> Asked:
    """Return a question for what does not fit: runs that never ended."""
    found = [
        [key[1], key[2]]
        for key, run in by_run().items()
        if status_of(run) == "running" and wanted(run)
    ]
    return Asked(
        "anomalies",
        {"q": q, "limit": LIMIT},
        sorted(found),
        lambda value: sorted(
            [each["session_id"], each["run_id"]]
            for each in value["anomalies"]
            if each["kind"] == "run_without_end"
        ),
        f"SELECT session_id, run_id FROM runs WHERE status = 'running' AND {sql} ORDER BY session_id, run_id",
    )


def event(event_id: str) -> Asked:
    """Return a question for one event by its id."""
    return Asked(
        "event",
        {"id": event_id},
        [[each.session, each.type, each.key.hex()] for each in facts() if each.event_id == event_id],
        lambda items: [[each["session_id"], each["type"], each["record_sha256"][:32]] for each in items],
        f"SELECT session_id, type, lower(hex(record_key)) FROM events WHERE event_id = '{event_id}'",
    )  # fmt: skip


def costs(q: str, wanted: Wanted, sql: str) -> Asked:
    """Return a question for what was spent in all, by both books, and how many runs no price is known of."""
    found = chosen(lambda each: bool(each.book) and wanted(each))
    runs: dict[tuple[str, ...], list[Fact]] = defaultdict(list)
    for each in found:
        runs[each.tenant, each.session, each.run].append(each)
    sums = [
        plain(summed(each.cost for each in found if each.book == book))
        for book in ("increments", "totals")
    ]
    unmapped = sum(all(each.cost is None for each in run) for run in runs.values())
    return Asked(
        "costs",
        {"q": q},
        [[*sums, len(runs), unmapped]],
        lambda value: [
            [
                plain(value["total"]["increments_usd"]), plain(value["total"]["totals_usd"]),
                value["total"]["runs"], value["total"]["unmapped_runs"],
            ]
        ],
        "SELECT toString(sumIf(cost_usd, book = 'updated')), toString(sumIf(cost_usd, book = 'completed')),"
        " uniqExact(tenant_id, session_id, run_id),"
        " uniqExact(tenant_id, session_id, run_id) - uniqExactIf((tenant_id, session_id, run_id), isNotNull(cost_usd))"
        f" FROM token_usage WHERE {sql}",
    )  # fmt: skip
