"""How often a seal can have been looked at follows from when it came."""

import pytest

from trailhouse.attesting.stored_seals import FIRST_LOOK_AGAIN_SECONDS, MOST_LOOKS
from trailhouse.operate.verify.seal_looks import CLOCKS_DIFFER_SECONDS, is_possible
from trailhouse.store.tables import LATEST_MS

AT_MS = 1_764_374_400_000


def judged_ms(looks: int, looks_at_once: int = 0) -> int:
    """When a worker whose clock is behind by what is allowed can first have looked so often, as it does."""
    seconds = 0
    for before in range(1, looks - looks_at_once):
        seconds += FIRST_LOOK_AGAIN_SECONDS * 2**before
    return AT_MS + (seconds - CLOCKS_DIFFER_SECONDS) * 1_000


@pytest.mark.parametrize("looks", range(1, MOST_LOOKS + 1))
def test_as_often_as_the_worker_looks_is_possible_and_sooner_is_not(looks: int) -> None:
    """To the millisecond, for each number up to the last."""
    assert is_possible(looks, 1, AT_MS, judged_ms(looks))
    assert is_possible(looks, 1, AT_MS, judged_ms(looks) - 1) is (looks == 1)


def test_a_new_policy_has_it_looked_at_at_once() -> None:
    """Once for each version after the one that it was first judged by."""
    assert is_possible(7, 3, AT_MS, judged_ms(7, looks_at_once=2))
    assert not is_possible(7, 2, AT_MS, judged_ms(7, looks_at_once=2))


def test_the_last_look_is_weeks_after_the_seal() -> None:
    """Whoever says of a new seal that it was the last one is found."""
    assert not is_possible(MOST_LOOKS, 1, AT_MS, AT_MS + 30 * 86_400_000)
    assert not is_possible(65_535, 1, AT_MS, AT_MS)


@pytest.mark.parametrize("appended_ms", [LATEST_MS, AT_MS + 2 * 86_400_000])
def test_of_no_time_nothing_is_told(appended_ms: int) -> None:
    """A sender's time in the place of the broker's, and one far ahead, say nothing about how long ago it came."""
    assert is_possible(MOST_LOOKS, 1, appended_ms, AT_MS)
