"""How long a seal that is due is waited for, where its logger may have been killed."""

import pytest

from trailhouse.operate.verify.duties.seals.sealed_records import ADOPTED_SECONDS, may_be_adopted

DUE = 1_000_000.0


@pytest.mark.parametrize("last_seconds", [None, DUE - 300, DUE])
def test_a_logger_that_fell_silent_may_have_been_killed(last_seconds: float | None) -> None:
    """Until whatever restarts its service has had the time to start the next one."""
    assert may_be_adopted(DUE, last_seconds, DUE + 1)
    assert may_be_adopted(DUE, last_seconds, DUE + ADOPTED_SECONDS)
    assert not may_be_adopted(DUE, last_seconds, DUE + ADOPTED_SECONDS + 1)


def test_a_logger_that_goes_on_without_sealing_was_not_killed() -> None:
    """Its seal was due, and it has logged since."""
    assert not may_be_adopted(DUE, DUE + 1, DUE + 2)
