"""The guard: nothing of ours reaches the application, and in strict mode the first loss does."""

import asyncio
import inspect

import pytest

from trailhouse.producer.recording.run import Run
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError

SECRET = "hunter" + "2"


def test_a_guarded_block_raises_nothing(
    audit_log: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a guarded block is counted and told by the block's name, without its own text."""
    with audit_log.recorder.guard("on_chain_start"):
        raise ValueError(SECRET)
    assert audit_log.stats().unlogged_total == 1
    assert "on_chain_start: ValueError" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_stops_a_program_goes_on(
    audit_log: InMemoryAuditLogger, error: type[BaseException]
) -> None:
    """A cancellation, Ctrl-C or an exit in a guarded block is not ours to stop, and no loss."""
    with pytest.raises(error), audit_log.recorder.guard("on_end"):
        raise error
    assert audit_log.stats().unlogged_total == 0


def test_losses_are_told_once_a_minute(
    audit_log: InMemoryAuditLogger, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many losses each is counted, and the first alone has a line of its own."""
    for _ in range(50):
        with audit_log.recorder.guard("on_end"):
            raise LookupError
    assert audit_log.stats().unlogged_total == 50
    assert len(caplog.records) == 1


def test_guarded_functions_keep_their_kind(audit_log: InMemoryAuditLogger) -> None:
    """A guarded function returns what it returned, or None where it raised; a coroutine function stays one."""
    guard = audit_log.recorder.guard("handler")

    @guard
    def halve(number: int) -> int:
        if number % 2:
            raise ValueError
        return number // 2

    @guard
    async def fail() -> int:
        raise ValueError

    assert (halve(4), halve(3)) == (2, None)
    assert inspect.iscoroutinefunction(fail)
    assert asyncio.run(fail()) is None
    assert audit_log.stats().unlogged_total == 2


def test_a_strict_guard_raises_what_its_block_raised(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode an exception goes on, counted all the same."""
    with pytest.raises(LookupError), audit_log.recorder.guard("on_end", strict=True):
        raise LookupError
    assert audit_log.stats().unlogged_total == 1


def test_a_strict_guard_raises_the_first_loss_at_its_end(audit_log: InMemoryAuditLogger) -> None:
    """In strict mode an event that cannot be logged is raised once the block has run to its end."""
    recorder = audit_log.recorder
    runs: list[Run] = []

    def open_two() -> None:
        with recorder.guard("on_start", strict=True):
            runs.extend(recorder.open_run("s-1", source="test") for _ in range(2))

    audit_log.fail_with(SpoolFullError("full"))
    with pytest.raises(SpoolFullError):
        open_two()
    assert len(runs) == 2
    audit_log.fail_with(None)
    with recorder.guard("on_end", strict=True):
        runs[0].end()  # what an earlier block lost is not raised again


def test_a_strict_guard_sees_what_guards_within_it_swallow(audit_log: InMemoryAuditLogger) -> None:
    """A loss within an ordinary guard reaches the strict one around it, and none of a later one."""
    recorder = audit_log.recorder
    with (
        pytest.raises(KeyError),
        recorder.guard("outer", strict=True),
        recorder.guard("inner"),
    ):
        raise KeyError
    with recorder.guard("later", strict=True):
        pass
