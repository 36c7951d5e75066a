"""How a run ended is what was raised, groups and foreign kinds of cancellation included."""

import asyncio
import concurrent.futures
import socket

import pytest

from trailhouse.producer.recording.endings import ending_of

CANCELLED = asyncio.CancelledError()


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (BaseExceptionGroup("g", [CANCELLED, CANCELLED]), "run_cancelled"),
        (BaseExceptionGroup("g", [CANCELLED, KeyboardInterrupt()]), "run_cancelled"),
        (BaseExceptionGroup("g", [CANCELLED, ValueError()]), "run_failed"),
        (ExceptionGroup("g", [TimeoutError(), TimeoutError()]), "run_timeout"),
        (ExceptionGroup("g", [TimeoutError(), ValueError()]), "run_failed"),
        (
            BaseExceptionGroup("g", [ExceptionGroup("h", [TimeoutError()]), CANCELLED]),
            "run_timeout",
        ),
        (concurrent.futures.CancelledError(), "run_cancelled"),
        (concurrent.futures.TimeoutError(), "run_timeout"),
        (socket.timeout(), "run_timeout"),  # noqa: UP041 - an alias that frameworks still write
        (StopAsyncIteration(), "run_failed"),
    ],
)
def test_an_ending_is_what_was_raised(error: BaseException, ending: str) -> None:
    """A group is cancelled where all of it is, and failed where any of it is."""
    assert ending_of(error) == ending


def test_a_task_group_ends_as_its_tasks_do() -> None:
    """What `asyncio.TaskGroup` raises for tasks that failed or timed out is told apart."""

    async def fail(error: Exception) -> None:
        raise error

    async def main(*errors: Exception) -> None:
        async with asyncio.TaskGroup() as group:
            for error in errors:
                group.create_task(fail(error))

    for errors, ending in (
        ((TimeoutError(),), "run_timeout"),
        ((TimeoutError(), ValueError()), "run_failed"),
    ):
        with pytest.raises(ExceptionGroup) as raised:
            asyncio.run(main(*errors))
        assert ending_of(raised.value) == ending
