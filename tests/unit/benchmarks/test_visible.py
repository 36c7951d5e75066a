"""When an event was first shown."""

from benchmarks.visible import Shown, quantiles_ms


def test_an_event_is_as_old_as_when_it_was_shown_first() -> None:
    """A later look that shows it again changes nothing."""
    shown = Shown()
    shown.add([(0, 1_000), (1, 2_000)], 5_000)
    shown.add([(0, 1_000), (1, 2_000), (2, 5_500)], 9_000)
    assert shown.delays_ms == {0: 4.0, 1: 3.0, 2: 3.5}


def test_what_was_there_before_the_first_look_has_no_age() -> None:
    """Nobody saw when it came; it counts among those shown, and not among the delays."""
    shown = Shown([0, 1])
    shown.add([(1, 0), (2, 0)], 1_000)
    assert len(shown) == 3
    assert shown.delays_ms == {2: 1.0}


def test_no_event_that_is_missing_is_passed_over() -> None:
    """The next look asks from the first event that was not shown, whatever came after it."""
    shown = Shown([0])
    shown.add([(1, 0), (3, 0)], 1_000)
    asked_from = [shown.all_below]
    shown.add([(2, 0)], 2_000)
    asked_from.append(shown.all_below)
    assert asked_from == [2, 4]


def test_quantiles_are_of_all_delays_in_any_order() -> None:
    """Half are at or under the median, one in a hundred over the 99th percentile."""
    delays = [float(number) for number in range(200, 0, -1)]
    assert quantiles_ms(delays) == {"p50_ms": 100.5, "p99_ms": 199.0, "most_ms": 200.0}
