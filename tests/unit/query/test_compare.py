"""Two runs aligned: what both did, where they part, what each did else, what each cost."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from airline_fleet import fleet
from facts import happened, in_time
from trailhouse.query.steps.compare import Comparison, Side, comparison_of
from trailhouse.query.steps.event_facts import EventFacts


def compared(a: list[EventFacts], b: list[EventFacts]) -> Comparison:
    """Return the comparison of two runs."""
    return comparison_of(
        Side(session_id="s", run_id="a", events=a), Side(session_id="s", run_id="b", events=b)
    )[0]


def calls(run: str, *named: tuple[str, Any]) -> list[EventFacts]:
    """Return a run that calls tools, one after the other, each answered."""
    events: list[tuple[float, str, dict[str, Any]]] = [(0, "run_started", {})]
    for place, (tool, arguments) in enumerate(named, start=1):
        call = {"tool_name": tool, "tool_call_id": f"{run}-{place}"}
        events += [
            (place, "tool_call_started", {**call, "arguments": arguments}),
            (place + 0.5, "tool_call_completed", {**call, "result": "ok"}),
        ]
    return happened(*events, (99, "run_completed", {}), run_id=run)


def relations(found: Comparison) -> list[str]:
    """Return how each aligned step relates."""
    return [each.relation for each in found.steps]


def test_two_runs_that_did_the_same_have_no_difference() -> None:
    """Ids, times and durations are another in each run, and no difference; nor is how JSON is spelled."""
    found = compared(
        calls("a", ("search", '{"x": 1, "y": 2}'), ("book", {"z": 1})),
        calls("b", ("search", '{"y":2,"x":1}'), ("book", {"z": 1})),
    )
    assert relations(found) == ["same"] * 4
    assert (found.first_difference, found.first_other_action) == (None, None)


def test_what_one_run_did_more_is_found_between_calls_of_the_same_tool() -> None:
    """The call with other arguments is the one that is more, and not the last of them."""
    found = compared(
        calls("a", ("search", "x"), ("book", "x")),
        calls("b", ("search", "y"), ("search", "x"), ("book", "x")),
    )
    assert relations(found) == ["same", "only_b", "same", "same", "same"]
    assert found.first_difference == found.first_other_action == 1
    assert (found.same_steps, found.only_a, found.only_b) == (4, 0, 1)


def test_a_call_with_other_arguments_in_the_same_place_is_changed() -> None:
    """Not one thing less and another more: both did it, in another way."""
    found = compared(calls("a", ("book", {"seat": 1})), calls("b", ("book", {"seat": 2})))
    assert relations(found) == ["same", "changed", "same"]
    assert found.steps[1].differs == ("arguments",)


def test_what_is_said_and_what_is_done_are_told_apart() -> None:
    """Other words are a difference; the first other action is where the runs did something else."""
    a, b = (
        happened(
            (0, "message_sent", {"role": "assistant", "content": words}),
            (1, "tool_call_started", {"tool_name": "book", "tool_call_id": "c"}),
            (2, end, {"tool_name": "book", "tool_call_id": "c"}),
            run_id="r",
        )
        for words, end in (("hello", "tool_call_completed"), ("hi", "tool_call_failed"))
    )
    found = compared(a, b)
    assert [each.differs for each in found.steps] == [("content",), ("outcome",)]
    assert (found.first_difference, found.first_other_action) == (0, 1)


def test_a_run_that_ended_otherwise_ends_at_the_same_step() -> None:
    """The end of one stands beside the end of the other, with another outcome."""
    found = compared(
        happened((1, "run_completed", {}), run_id="a"),
        happened((1, "run_failed", {"error_code": "x"}), run_id="b"),
    )
    assert relations(found) == ["changed"]
    assert found.steps[0].differs == ("outcome", "error_code")
    assert (found.a.status, found.b.status) == ("completed", "failed")


def test_costs_stand_side_by_side() -> None:
    """Exact to the last digit, by either book; where one run names no cost there is no difference to name."""
    a, b, unpriced = (
        happened((1, "token_usage_updated", {"input_tokens": 5, **cost}), run_id=run)
        for run, cost in (
            ("a", {"cost_usd": "0.1"}),
            ("b", {"cost_usd": "0.300000000000000001"}),
            ("c", {}),
        )
    )
    assert compared(a, b).increments_cost_usd == Decimal("0.200000000000000001")
    assert compared(a, b).totals_cost_usd is None
    assert compared(a, unpriced).increments_cost_usd is None


def test_a_step_whose_data_was_not_read_is_compared_by_its_columns() -> None:
    """Nobody can say whether its words differ, so that is no difference; its outcome is known."""
    (light,) = happened((1, "message_sent", {"content": "x"}), run_id="r")
    assert relations(compared([light], [msgspec.structs.replace(light, data=None)])) == ["same"]


def test_a_run_that_is_not_there_is_a_run_without_events() -> None:
    """The other run is shown beside nothing."""
    found = comparison_of(
        Side(session_id="s", run_id="a", events=calls("a", ("x", 1))),
        Side(session_id=None, run_id="b", events=[]),
    )[0]
    assert (found.b.events, found.b.status, found.only_a) == (0, None, 3)


def test_each_step_of_recorded_runs_stands_once_and_in_order() -> None:
    """Of two trials of the same task, nothing is lost on either side."""
    events = fleet()
    for task in ("airline-00", "airline-06", "airline-33"):
        a, b = (
            in_time(each for each in events if each.run_id == f"{task}-trial-{trial}")
            for trial in (0, 1)
        )
        found = compared(a, b)
        assert [each.a for each in found.steps if each.a].__len__() == found.a.steps > 0
        for side, mine in (("a", a), ("b", b)):
            shown = [
                event_id
                for each in found.steps
                if (step := getattr(each, side))
                for event_id in step.event_ids
            ]
            assert sorted(shown) == sorted(each.event_id for each in mine)
        assert found.same_steps > 0
        assert compared(a, a).first_difference is None


deeds = st.lists(
    st.tuples(st.sampled_from(["search", "book"]), st.sampled_from(["x", "y"])), max_size=8
)


@given(deeds, deeds)
def test_the_same_the_other_way_round(a: list[tuple[str, str]], b: list[tuple[str, str]]) -> None:
    """What only the first has, only the second has when they are asked for the other way round."""
    there, back = compared(calls("a", *a), calls("b", *b)), compared(calls("b", *b), calls("a", *a))
    assert (there.only_a - there.only_b) == (back.only_b - back.only_a) == len(a) - len(b)
    assert (there.first_difference is None) is (a == b)
