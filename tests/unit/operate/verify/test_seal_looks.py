"""How often a seal can have been looked at follows from when it came."""

import pytest

from trailhouse.attesting.stored_seals import FIRST_LOOK_AGAIN_SECONDS, MOST_LOOKS
from trailhouse.operate.verify.duties.seals.looks import CLOCKS_DIFFER_SECONDS, is_possible
from trailhouse.store.tables import LATEST_MS

AT_MS = 1_764_374_400_000


def judged_ms(
    looks: int, looks_at_once: int = 0, *, behind_seconds: int = CLOCKS_DIFFER_SECONDS
) -> int:
    """When a worker whose clock is *behind_seconds* has looked so often, as it then does."""
    seconds = 0
    for before in range(1, looks - looks_at_once):
        seconds += max(0, FIRST_LOOK_AGAIN_SECONDS * 2**before - behind_seconds)
    return AT_MS + (seconds - behind_seconds) * 1_000


@pytest.mark.parametrize("looks", range(1, MOST_LOOKS + 1))
@pytest.mark.parametrize("behind_seconds", [0, 3_600, CLOCKS_DIFFER_SECONDS])
def test_as_often_as_the_worker_looks_is_possible(looks: int, behind_seconds: int) -> None:
    """Also where its clock is behind that of ClickHouse, by which it waits."""
    assert is_possible(looks, 1, AT_MS, judged_ms(looks, behind_seconds=behind_seconds))


def test_the_last_look_is_not_possible_sooner() -> None:
    """A millisecond counts, and so does that the last look is never reached."""
    first_ms = judged_ms(MOST_LOOKS)
    assert is_possible(MOST_LOOKS, 1, AT_MS, first_ms)
    assert not is_possible(MOST_LOOKS, 1, AT_MS, first_ms - 1)


def test_a_new_policy_has_it_looked_at_at_once() -> None:
    """Once for each version after the one that it was first judged by."""
    assert is_possible(MOST_LOOKS, 3, AT_MS, judged_ms(MOST_LOOKS, looks_at_once=2))
    assert not is_possible(MOST_LOOKS, 2, AT_MS, judged_ms(MOST_LOOKS, looks_at_once=2))


def test_the_last_look_is_weeks_after_the_seal() -> None:
    """Whoever says of a new seal that it was the last one is found."""
    assert not is_possible(MOST_LOOKS, 1, AT_MS, AT_MS + 30 * 86_400_000)
    assert not is_possible(65_535, 1, AT_MS, AT_MS)


@pytest.mark.parametrize("appended_ms", [LATEST_MS, AT_MS + 2 * 86_400_000])
def test_of_no_time_nothing_is_told(appended_ms: int) -> None:
    """A sender's time in the place of the broker's, and one far ahead, say nothing about how long ago it came."""
    assert is_possible(MOST_LOOKS, 1, appended_ms, AT_MS)
