"""Each goal of a quiet hour is an aim once it is measured."""

from typing import Any

from benchmarks import asleep, pace, quiet
from benchmarks.aims import aims, table
from benchmarks.drain import OURS
from benchmarks.steady import Case


def section_of(cases: tuple[Case, ...]) -> dict[str, Any]:
    """Return results of *cases*, each of whose figures is its place in the list."""
    values = {quiet.name_of(case): float(number) for number, case in enumerate(cases)}
    return {
        "idle": {"engine_percent": 0.5, "broker_percent": 3.0, "inserts a second": 0.0},
        "rounds": [
            {name: dict.fromkeys(quiet.QUANTITIES, value) for name, value in values.items()}
        ],
    }


def bounds(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return unit, bound and figure of every aim."""
    return [(aim.unit, aim.bound, aim.measured) for aim in aims(results)]


def test_the_engine_has_a_bound_for_each_group_and_freshness() -> None:
    """And what is asked for, in ms, bounds how late an event may be visible."""
    found = bounds({"quiet": section_of(quiet.ALL_CASES)})
    engine = [(bound, figure) for unit, bound, figure in found if unit == " % of a core"]
    fresh = [bound for unit, bound, _ in found if unit == " ms"]
    assert engine == [(8, 0), (20, 1), (3, 2), (9, 3), (40, 4), (15, 5)]
    assert fresh == [1_000, 1_000, 3_000, 3_000, 1_000, 3_000]


def test_what_the_short_plan_leaves_out_is_no_aim() -> None:
    """A figure that nobody measured is neither met nor missed."""
    found = bounds({"quiet": section_of(quiet.SHORT_CASES)})
    aimed_at = [case for case in quiet.SHORT_CASES if case.async_insert == "auto"]
    assert len(found) == 2 * len(aimed_at) < 2 * len(quiet.ALL_CASES)


def test_who_sleeps_has_a_bound() -> None:
    """An added worker, a logger, and the whole of a dev stack."""
    percents = {
        asleep.WORKER: {"worker": 0.1, "broker, more": 9.0},
        asleep.LOGGER: {asleep.BEYOND: 0.2},
        asleep.DEV: {asleep.ALL: 0.3, "kafka": 9.0},
    }
    found = bounds({"asleep": {"percents": percents}})
    assert found == [
        (" % of a core", 0.3, 0.1),
        (" % of a core", 0.1, 0.2),
        (" % of a core", 3.0, 0.3),
    ]


def test_each_pace_has_a_bound() -> None:
    """The fewer come, the more an event may cost."""
    values = {pace.name_of(rate): {"cpu_us_per_event": float(rate)} for rate in pace.RATES}
    found = bounds({"pace": {"rounds": [values]}})
    assert found == [(" µs", 45, 1_000), (" µs", 90, 100), (" µs", 150, 10)]


def test_the_table_has_a_row_for_everybody_and_one_for_nobody() -> None:
    """Peers stand beside us, and what the engine uses while nothing runs is shown apart."""
    everybody = [quiet.name_of(each.case, each.who) for each in quiet.contestants(is_full=True)]
    section = section_of(())
    section["rounds"] = [{name: dict.fromkeys(quiet.QUANTITIES, 1.0) for name in everybody}]
    rows = quiet.table(section).splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows[:-1]] == everybody
    assert len(set(everybody)) == len(everybody)
    assert {name.split(":")[0] for name in everybody} == {OURS, *quiet.PEERS}
    assert "| 0.5 |" in rows[-1]


def test_a_large_figure_is_written_out() -> None:
    """Nobody reads 1.5e+03."""
    late = dict.fromkeys(quiet.QUANTITIES, 1_499.6)
    text = table({"quiet": {"rounds": [{quiet.name_of(quiet.ONE): late}]}})
    assert "visible, p99 ≤ 1,000 ms | 1,500 ms | **not met** |" in text
