"""Going through time in slices: everything is seen once, in order, and a spent budget says how far it came."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.budget import Meter, ReadBudget
from trailhouse.query.search.slices import Span, go_through
from trailhouse.schemas.errors import StorageLimitError


class Scene:
    """A clock, and events of which a statement sees at most so many, each of them taking time."""

    def __init__(self, times: list[int], most: int, seconds_each: float) -> None:
        self.times, self.most, self.seconds_each = times, most, seconds_each
        self.now = 0.0
        self.seen: list[int] = []
        self.looks = 0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def look(self, first: int, last: int, settings: Mapping[str, str]) -> bool:
        """See the events of a slice, or give up at the limit."""
        self.looks += 1
        found = [each for each in self.times if first <= each <= last]
        took = 0.001 + self.seconds_each * len(found)
        allowed = float(settings["max_execution_time"])
        self.now += min(took, allowed)
        if len(found) > self.most or took > allowed:
            raise StorageLimitError("too much")
        self.seen += found
        return False


spans = st.tuples(st.integers(-(10**17), 10**17), st.integers(0, 10**16)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@given(
    span=spans,
    shares=st.lists(st.floats(0, 1), max_size=40, unique=True),
    most=st.integers(1, 50),
    newest=st.booleans(),
    whole=st.booleans(),
    now=st.none() | st.integers(-(10**17), 10**17),
)
def test_every_time_is_seen_once_while_the_budget_lasts(
    span: tuple[int, int],
    shares: list[float],
    most: int,
    newest: bool,
    whole: bool,
    now: int | None,
) -> None:
    """Whatever a statement can bear, and wherever events lie: none is missed, and none is seen twice."""
    first, last = span
    times = sorted({min(last, first + int(share * (last - first))) for share in shares})
    scene = Scene(times, most, 0.0)
    meter = Meter(ReadBudget(seconds=1_000), clock=scene.clock)
    reached = go_through(
        meter, Span(first, last, newest), scene.look, whole_first=whole, now_us=now
    )
    if reached is None:
        assert sorted(scene.seen) == times
    else:
        seen = {each for each in times if (each > reached if newest else each < reached)}
        assert sorted(scene.seen) == sorted(seen)
        # Only where more than a statement may see lies within a millisecond or two.
        assert most < len(times)


def test_a_spent_budget_says_how_far_it_came() -> None:
    """What is before that time was seen, what is behind it was not, and the clock ends it."""
    hour = 3_600_000_000
    scene = Scene([place * hour for place in range(1_000)], 10**6, 0.01)
    meter = Meter(ReadBudget(seconds=2), clock=scene.clock)
    reached = go_through(meter, Span(0, 999 * hour), scene.look)
    assert reached is not None
    assert sorted(scene.seen) == [each for each in scene.times if each > reached]
    assert scene.seen
    assert scene.now <= 2.1


def test_one_look_is_enough_where_a_statement_bears_it() -> None:
    """No slices without need; an empty span needs no look at all."""
    scene = Scene([1, 2, 3], 10, 0.0)
    meter = Meter(ReadBudget(), clock=scene.clock)
    assert go_through(meter, Span(0, 10**15), scene.look) is None
    assert scene.looks == 1
    assert go_through(meter, Span(1, 0), scene.look) is None
    assert scene.looks == 1
