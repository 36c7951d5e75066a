"""Usage has one meaning, whatever a provider calls it and whatever it holds."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from capture_rules import check_runs
from trailhouse.producer.recording.usage import MOST_TOKENS, Totals, Usage, exact_cost
from trailhouse.producer.testing import InMemoryAuditLogger


def test_anthropics_input_gets_what_was_cached() -> None:
    """Anthropic's own input leaves out what came from or went into a cache, and ours holds it."""
    raw = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 5,
    }
    for given in (raw, SimpleNamespace(**raw)):
        usage = Usage.from_anthropic(given, model="m-1")
        assert usage.data() == {
            "model": "m-1",
            "input_tokens": 130,
            "output_tokens": 5,
            "cache_read_tokens": 100,
            "cache_write_tokens": 20,
        }
    assert Usage.from_anthropic({"input_tokens": 3}).tokens() == {"input_tokens": 3}


@pytest.mark.parametrize(
    "raw",
    [
        {
            "input_tokens": 10, "output_tokens": 7, "total_tokens": 17,
            "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 2},
        },
        {
            "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17,
            "prompt_tokens_details": SimpleNamespace(cached_tokens=4),
            "completion_tokens_details": SimpleNamespace(reasoning_tokens=2),
        },
    ],
)  # fmt: skip
def test_openais_input_is_taken_as_it_is(raw: dict[str, Any]) -> None:
    """OpenAI's input holds what is cached, by the names of both of its APIs."""
    assert Usage.from_openai(raw).tokens() == {
        "input_tokens": 10,
        "output_tokens": 7,
        "total_tokens": 17,
        "cache_read_tokens": 4,
        "reasoning_tokens": 2,
    }


@pytest.mark.parametrize("make", [Usage.from_anthropic, Usage.from_openai])
def test_no_usage_is_missing(make: Any) -> None:
    """A call without usage has no numbers, and says so."""
    assert make(None).data() == {"usage_missing": True}


@pytest.mark.parametrize(
    "value", [-1, "12", True, 1.5, float("nan"), MOST_TOKENS + 1, [], object()]
)
def test_a_number_that_is_none_is_unknown_and_warned(
    audit_log: InMemoryAuditLogger, value: Any
) -> None:
    """What is no number of tokens is left out of the event and the totals, and the event says so."""
    with audit_log.run("s-1") as run:
        run.use(Usage(input_tokens=value, output_tokens=2, cost_usd=value, model=value))
    event = audit_log.only("token_usage_updated")
    assert "input_tokens" not in event.data
    assert event.metadata["_validation_warnings"][0].startswith("input_tokens: should be")
    assert audit_log.only("run_completed").data["token_usage"] == {"output_tokens": 2}
    assert "12" not in str(event.metadata)
    check_runs(audit_log.events, has_right_values=False)


def test_whole_floats_are_numbers() -> None:
    """A number of tokens that was read from JSON as 12.0 is 12."""
    usage: Any = 12.0
    assert Usage(input_tokens=usage).tokens() == {"input_tokens": 12}


def test_what_cannot_be_read_harms_nobody(audit_log: InMemoryAuditLogger) -> None:
    """A provider's object whose properties raise, and no usage at all, raise nothing into the application."""

    class Hostile:
        @property
        def input_tokens(self) -> int:
            raise RuntimeError

    nothing: Any = None
    with audit_log.run("s-1") as run:
        run.use(Usage.from_anthropic(Hostile()))
        run.use(Usage.from_openai(Hostile()))
        run.use(nothing)
        run.result = Hostile()
    assert audit_log.stats().unlogged_total == 1
    check_runs(audit_log.events)


def test_costs_are_summed_exactly() -> None:
    """Costs given as floats and text are summed as they are written."""
    totals = Totals()
    for cost in (0.1, "0.2", Decimal("0.3")):
        totals.add(Usage(cost_usd=cost))
    assert totals.cost_usd == Decimal("0.6")


def test_what_is_no_amount_costs_nothing_known() -> None:
    """What is no finite amount is unknown, and so is an integer that has no text."""
    costs: list[Any] = ["much", float("inf"), True, -1, 10**5000, None]
    assert [exact_cost(cost) for cost in costs] == [None] * len(costs)


def test_a_runs_result_comes_before_the_sums(audit_log: InMemoryAuditLogger) -> None:
    """What a block hands over as its result is kept: a mapping, an object, a usage of ours; else the sums are."""
    results: list[Any] = [
        {"token_usage": {"input_tokens": 1}, "stop_reason": "max_tokens", "cost_usd": "0.5"},
        SimpleNamespace(
            token_usage=Usage(input_tokens=1), stop_reason="max_tokens", cost_usd="0.5"
        ),
    ]
    for result in results:
        with audit_log.run("s-1") as run:
            run.result = result
        data = audit_log.only("run_completed", run_id=run.id).data
        assert (data["token_usage"], data["stop_reason"], data["cost_usd"]) == (
            {"input_tokens": 1}, "max_tokens", "0.5",
        )  # fmt: skip
    with audit_log.run("s-1") as run:
        run.use(Usage(input_tokens=4))
        run.result = "an answer"
    assert audit_log.only("run_completed", run_id=run.id).data["token_usage"] == {"input_tokens": 4}
