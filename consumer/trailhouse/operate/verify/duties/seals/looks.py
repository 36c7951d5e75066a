"""How often the worker can have looked at a seal by the time that its row says. Pure.

One of which records are missing is looked at `MOST_LOOKS` times and then no more, so that a number that is too high
would keep a record that comes late from ever being shown as attested.
"""

from trailhouse.attesting.stored_seals import FIRST_LOOK_AGAIN_SECONDS, MOST_LOOKS
from trailhouse.store.tables import LATEST_MS

CLOCKS_DIFFER_SECONDS = 86_400
"""A worker whose clock is behind that of ClickHouse looks sooner, each time by as much."""


def is_possible(looks: int, policy_version: int, appended_ms: int, judged_ms: int) -> bool:
    """Tell whether a seal that came at *appended_ms* was looked at so often at *judged_ms*, in Unix milliseconds.

    Each look waits twice as long as the one before, but for one at most that follows each new version of the policy.
    Nothing is known of one whose broker told no time, or told one that is later by more than clocks differ.
    """
    waits = min(looks, MOST_LOOKS) - policy_version
    elapsed_seconds = (judged_ms - appended_ms) / 1_000 + CLOCKS_DIFFER_SECONDS
    if appended_ms >= LATEST_MS or elapsed_seconds < 0:
        return True
    each_seconds = (FIRST_LOOK_AGAIN_SECONDS * (1 << before) for before in range(1, waits + 1))
    return sum(max(0, each - CLOCKS_DIFFER_SECONDS) for each in each_seconds) <= elapsed_seconds
