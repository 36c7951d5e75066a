"""What a timeline shows: the tree of runs, calls with their ends, turns, and books that are never added."""

import json
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from airline_fleet import fleet
from facts import happened, in_time
from trailhouse.query.steps.event_facts import EventFacts
from trailhouse.query.steps.read_timeline import descendants
from trailhouse.query.steps.timeline import Timeline, TimelineRun, timeline_of

TOOL = {"run_id": "r", "tool_name": "search"}


def timeline(events: list[EventFacts]) -> Timeline:
    """Return the timeline of *events* of session "s"."""
    return timeline_of(events, session_id="s")


def only_run(events: list[EventFacts]) -> TimelineRun:
    """Return the one run of *events*."""
    (run,) = timeline(events).runs
    return run


def states(events: list[EventFacts]) -> list[tuple[str, str, int]]:
    """Return kind and state of each step, and how many events it has."""
    return [(each.kind, each.state, len(each.event_ids)) for each in only_run(events).steps]


def test_a_call_and_its_end_are_one_step() -> None:
    """What began, how it came out, how long it took and what failed, from two events with one id."""
    (step,) = only_run(
        happened(
            (1, "tool_call_started", {**TOOL, "tool_call_id": "c", "agent_id": "a"}),
            (3.5, "tool_call_failed", {**TOOL, "tool_call_id": "c", "error_code": 404, "error_message": "gone"}),
        )
    ).steps  # fmt: skip
    assert (step.kind, step.name, step.state, step.outcome) == (
        "tool_call",
        "search",
        "closed",
        "failed",
    )
    assert (step.duration_seconds, step.reported_seconds) == (2.5, None)
    assert (step.error_code, step.error_message, step.agent_id) == ("404", "gone", "a")


def test_what_the_producer_says_of_a_duration_stands_beside_the_clocks() -> None:
    """From event to event, and as stated, however odd; an end alone has what it states."""
    end = (4, "model_call_completed", {"model": "m", "model_call_id": "1", "duration_ms": -1500})
    (step,) = only_run(
        happened((0, "model_call_started", {"model": "m", "model_call_id": "1"}), end)
    ).steps
    assert (step.duration_seconds, step.reported_seconds) == (4.0, -1.5)
    (alone,) = only_run(happened(end)).steps
    assert (alone.duration_seconds, alone.reported_seconds) == (None, -1.5)


def test_open_orphan_and_unpaired_are_told_apart() -> None:
    """No end, no start, and an id that nobody named are three things, each shown where it stood."""
    events = happened(
        (1, "tool_call_started", {**TOOL, "tool_call_id": "open"}),
        (2, "tool_call_completed", {**TOOL, "tool_call_id": "orphan"}),
        (3, "tool_call_started", TOOL),
        (4, "tool_call_completed", TOOL),
        (5, "model_call_started", {"run_id": "r", "model_call_id": "open"}),
        (6, "made_up.by_you", {"run_id": "r"}),
    )
    assert states(events) == [
        ("tool_call", "open", 1),
        ("tool_call", "orphan", 1),
        ("tool_call", "unpaired", 1),
        ("tool_call", "unpaired", 1),
        ("model_call", "open", 1),
        ("event", "single", 1),
    ]
    assert only_run(events).open_steps == 2
    assert only_run(events).orphan_steps == 1
    assert only_run(events).steps[0].outcome is None


def test_an_id_that_is_used_again_is_two_calls() -> None:
    """An end belongs to the last start before it; two ends of one start are one call, and the last decides."""
    events = happened(
        (1, "tool_call_started", {**TOOL, "tool_call_id": "c"}),
        (2, "tool_call_completed", {**TOOL, "tool_call_id": "c"}),
        (3, "tool_call_started", {**TOOL, "tool_call_id": "c"}),
        (4, "tool_call_completed", {**TOOL, "tool_call_id": "c"}),
        (5, "tool_call_failed", {**TOOL, "tool_call_id": "c"}),
    )
    first, second = only_run(events).steps
    assert (first.outcome, second.outcome, len(second.event_ids)) == ("completed", "failed", 3)


def test_ids_of_two_runs_and_of_two_tenants_are_not_one() -> None:
    """The same id in another run, and in another tenant's run of the same name, is another call."""
    events = happened(
        (1, "tool_call_started", {**TOOL, "tool_call_id": "c", "tenant_id": "acme"}),
        (2, "tool_call_completed", {**TOOL, "tool_call_id": "c", "tenant_id": "globex"}),
        (3, "tool_call_completed", {**TOOL, "tool_call_id": "c", "tenant_id": "acme", "run_id": "q"}),
    )  # fmt: skip
    assert [(run.tenant_id, run.run_id, run.steps[0].state) for run in timeline(events).runs] == [
        ("acme", "r", "open"),
        ("globex", "r", "orphan"),
        ("acme", "q", "orphan"),
    ]


def test_an_end_that_stands_before_its_start_still_finds_it() -> None:
    """The order of time pairs; where the first of its events stands is the place of the step."""
    start, end, other = happened(
        (1, "tool_call_started", {**TOOL, "tool_call_id": "c"}),
        (2, "tool_call_completed", {**TOOL, "tool_call_id": "c"}),
        (0, "message_sent", {"run_id": "r"}),
    )
    assert states([end, other, start]) == [("tool_call", "closed", 2), ("message", "single", 1)]


def test_runs_stand_below_the_runs_that_started_them() -> None:
    """A parent stands before its children, wherever its events lie; depth says how deep."""
    events = happened(
        (1, "run_started", {"run_id": "grandchild", "parent_run_id": "child"}),
        (2, "run_started", {"run_id": "child", "parent_run_id": "top"}),
        (3, "run_started", {"run_id": "top"}),
        (4, "run_started", {"run_id": "lost", "parent_run_id": "in another session"}),
        (5, "session_completed", {}),
        (6, "run_started", {"run_id": "second", "parent_run_id": "top"}),
    )
    assert [(run.run_id, run.parent, run.depth) for run in timeline(events).runs] == [
        ("top", "none", 0),
        ("child", "shown", 1),
        ("grandchild", "shown", 2),
        ("second", "shown", 1),
        ("lost", "elsewhere", 0),
        (None, "none", 0),
    ]


def test_a_circle_of_runs_is_cut_and_loses_none() -> None:
    """Runs that say they started one another, or themselves, are each shown once."""
    events = happened(
        (1, "run_started", {"run_id": "a", "parent_run_id": "b"}),
        (2, "run_started", {"run_id": "b", "parent_run_id": "a"}),
        (3, "run_started", {"run_id": "self", "parent_run_id": "self"}),
    )
    assert [(run.run_id, run.parent, run.depth) for run in timeline(events).runs] == [
        ("a", "circle", 0),
        ("b", "shown", 1),
        ("self", "circle", 0),
    ]


def test_runs_may_be_nested_deeper_than_python_calls() -> None:
    """Five thousand runs, each started by the one before, are a list that can be written as JSON."""
    one = happened((1, "run_started", {"run_id": "0"}))[0]
    events = [
        msgspec.structs.replace(one, run_id=str(place), parent_run_id=str(place - 1) if place else "")
        for place in range(5_000)
    ]  # fmt: skip
    found = timeline(events)
    assert found.runs[-1].depth == 4_999
    assert len(json.loads(msgspec.json.encode(found))["runs"]) == 5_000


def test_the_last_ending_event_is_a_runs_status() -> None:
    """The last in occurrence order; without one it is running."""
    late, early = happened(
        (9, "run_failed", {"run_id": "r", "error_code": "x", "duration_ms": 5000}),
        (8, "run_completed", {"run_id": "r"}),
    )
    run = only_run([early, late])
    assert (run.status, run.error_code, run.has_start) == ("failed", "x", False)
    assert (run.duration_seconds, run.reported_seconds) == (1.0, 5.0)
    assert only_run(happened((1, "run_started", {"run_id": "r"}))).status == "running"


def test_turns_lie_between_their_ends() -> None:
    """Steps are in the turn in which they began; the last is open, and the end of the run begins none."""
    events = happened(
        (0, "run_started", {}),
        (1, "message_received", {}),
        (2, "turn_completed", {"turn": 7, "stop_reason": "tool_use", "duration_ms": 900}),
        (3, "tool_call_started", {"tool_call_id": "c"}),
        (4, "turn_completed", {}),
        (5, "tool_call_completed", {"tool_call_id": "c"}),
        run_id="r",
    )
    run = only_run(events)
    assert [(turn.turn, turn.is_open, turn.reported_seconds, turn.steps) for turn in run.turns] == [
        (7, False, 0.9, 3),
        (2, False, None, 2),
        (3, True, None, 0),
    ]
    assert [turn.duration_seconds for turn in run.turns] == [2.0, 1.0, None]
    assert [step.turn for step in run.steps] == [7, 7, 7, 2, 2]
    ended = only_run([*events[:3], *happened((9, "run_completed", {"run_id": "r"}))])
    assert [turn.is_open for turn in ended.turns] == [False]
    assert ended.steps[-1].turn is None


def test_a_turn_whose_number_is_none_is_counted() -> None:
    """A number beyond 64 bits, a text or a truth value is no number of a turn."""
    for odd in (10**30, "7", True, 1.5, None):
        (turn,) = only_run(happened((1, "turn_completed", {"run_id": "r", "turn": odd}))).turns
        assert turn.turn == 1


def test_the_two_books_stand_side_by_side() -> None:
    """What run_completed repeats is not added to what was counted step by step."""
    books = timeline(
        happened(
            (1, "token_usage_updated", {"input_tokens": 10, "cost_usd": "0.1"}),
            (2, "token_usage_updated", {"input_tokens": 5}),
            (3, "run_completed", {"token_usage": {"input_tokens": 15}, "cost_usd": "0.3"}),
        )
    ).books
    assert (books.increments.input_tokens, books.totals.input_tokens) == (15, 15)
    assert (books.increments.cost_usd, books.totals.cost_usd) == (Decimal("0.1"), Decimal("0.3"))
    assert books.increments.unpriced_events == 1
    assert books.differ


def test_an_event_whose_data_was_not_read_is_shown_by_its_columns() -> None:
    """A heavy event keeps its place; what only data says is missing, and it is no orphan."""
    heavy = msgspec.structs.replace(
        happened((1, "model_call_started", {"model": "m", "model_call_id": "1"}))[0], data=None
    )
    (step,) = only_run([heavy]).steps
    assert (step.state, step.name) == ("unpaired", "m")


def test_every_recorded_call_is_paired_with_its_own_end() -> None:
    """Of the fleet's recording: as many steps as an oracle of a few lines counts, by run and outcome."""
    events = fleet()
    for session in ("airline-00", "airline-06", "airline-49"):
        mine = [each for each in events if each.session_id == session]
        found = timeline_of(in_time(mine), session_id=session)
        for run in found.runs:
            of_run = [each for each in mine if each.run_id == run.run_id]
            started = sum(each.type == "tool_call_started" for each in of_run)
            ended = sum(each.type in ("tool_call_completed", "tool_call_failed") for each in of_run)
            calls = [step for step in run.steps if step.kind == "tool_call"]
            assert sum(step.state in ("closed", "open") for step in calls) == started
            assert sum(len(step.event_ids) - (step.state != "orphan") for step in calls) == ended
            assert run.parent_run_id == of_run[0].parent_run_id
        assert found.events == len(mine)


kinds = st.sampled_from(
    ["tool_call_started", "tool_call_completed", "tool_call_failed", "model_call_started", "model_call_completed",
     "tool_approval_requested", "tool_approval_denied", "run_started", "run_failed", "turn_completed", "x.y"]
)  # fmt: skip
few = st.sampled_from(["", "a", "b"])


@given(
    st.lists(st.tuples(st.integers(0, 5), kinds, few, few, few, st.sampled_from(["", "t"])), max_size=25)
)  # fmt: skip
def test_every_event_is_in_exactly_one_step(
    drawn: list[tuple[int, str, str, str, str, str]],
) -> None:
    """Whatever the ids, parents and clocks: no event is lost, and none is shown twice."""
    events = happened(
        *(
            (second, kind, {"run_id": run or None, "parent_run_id": parent or None, "tenant_id": tenant or None,
                            "tool_call_id": call, "model_call_id": call})
            for second, kind, run, parent, call, tenant in drawn
        )
    )  # fmt: skip
    found = timeline(events)
    shown = [each for run in found.runs for step in run.steps for each in step.event_ids]
    assert sorted(shown) == sorted(each.event_id for each in events)
    for run in found.runs:
        assert sum(turn.steps for turn in run.turns) == sum(
            step.turn is not None for step in run.steps
        )


def test_a_run_leads_to_all_that_it_started() -> None:
    """Children, their children, each once, circles and all."""
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("x", "y"), ("a", "d")]
    assert descendants(pairs, "a") == ["a", "b", "d", "c"]
    assert descendants(pairs, "y") == ["y"]
