"""What Faust's own consumer does, and why the worker does not use it; docs/architecture.md tells the rest."""

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.consumer import Consumer
from faust.types import TP
from mode import Seconds

from trailhouse.consumer.host.app import UnsampledMonitor

PARTITION = TP("trailhouse.events", 0)


def _offset_to_commit(committed: int | None, acknowledged: list[int]) -> Any:
    """Return the offset that Faust commits after *committed*, the next one to be read."""
    state: Any = SimpleNamespace(
        _acked={PARTITION: acknowledged},
        _acked_index={PARTITION: set(acknowledged)},
        _gap={PARTITION: ()},
        _committed_offset={PARTITION: committed},
    )
    # Faust has no public name for what it is about to commit.
    return Consumer._new_offset(state, PARTITION)  # pyright: ignore[reportPrivateUsage]


def test_faust_commits_past_a_record_that_is_still_being_stored() -> None:
    """With 100 being stored and 101 to 103 acknowledged, Faust commits 104: record 100 would be lost."""
    assert _offset_to_commit(100, [101, 102, 103]) == 104
    assert _offset_to_commit(100, [102, 103]) is None


def test_faust_commits_past_the_first_records_of_a_group() -> None:
    """Where nothing was committed yet, Faust commits after whatever was acknowledged first."""
    assert _offset_to_commit(None, [5, 6, 7]) == 8
    assert _offset_to_commit(0, [5, 6, 7]) == 8


@pytest.mark.parametrize(
    ("monitor", "timers"), [(faust.Monitor, 1), (UnsampledMonitor, 0)], ids=["of Faust", "ours"]
)
def test_an_idle_event_loop_has_no_timer(monitor: type[faust.Monitor], timers: int) -> None:
    """Faust's own monitor takes a sample each second, of agents and tables that we have none of."""
    waits: list[Seconds] = []

    class Sleepless(monitor):  # type: ignore[misc, valid-type]  # a class that is a parameter
        async def sleep(self, n: Seconds) -> None:
            waits.append(n)
            await asyncio.Event().wait()

    async def run() -> None:
        made = Sleepless()
        await made.start()
        for _ in range(10):  # its tasks begin
            await asyncio.sleep(0)

    asyncio.run(run())
    assert len(waits) == timers
