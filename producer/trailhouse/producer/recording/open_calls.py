"""The calls of tools and models that have begun and not ended: ended for want of an end when nobody does."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from trailhouse.producer.recording.tool_call import NO_END, ToolCall
from trailhouse.schemas.errors import ProducerClosedError

if TYPE_CHECKING:
    from trailhouse.producer.clock import Clock
    from trailhouse.producer.recording.model_call import ModelCall

    Call = ToolCall | ModelCall

MAX_OPEN_CALLS = 10_000
AFTER_ITS_RUN_SECONDS = 600.0
"""How long a call may be open when its run has ended: a tool that is told to stop takes its time."""


class OpenCalls:
    """Knows which calls are open, in the order of their starts. Safe for threads and signal handlers.

    Attributes:
        by_run: By the id of a run, the ids of its calls that are open.
        left_open: What was open as its run ended, and when it is given up.
    """

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic_seconds
        self._lock = threading.RLock()
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self.by_run: dict[int, set[int]] = {}
        self.left_open: deque[tuple[float, list[Call]]] = deque()
        self._is_closed = False

    def add(self, call: Call) -> None:
        """Know *call* as open until `forget`; above the limit the oldest is given up.

        Raises:
            ProducerClosedError: All have been given up: nobody would log its end. Permanent.
        """
        key, run = id(call), call.run
        with self._lock:
            if self._is_closed:
                raise ProducerClosedError("the audit logger is closed")
            self._calls[key] = call
            of_run = self.by_run.get(id(run))
            if of_run is None:
                self.by_run[id(run)] = {key}
            else:
                of_run.add(key)
            if not run.is_open:
                self.left_open.append((self._now() + AFTER_ITS_RUN_SECONDS, [call]))
            if len(self._calls) <= MAX_OPEN_CALLS:
                return
            oldest = next(iter(self._calls.values()))
            self.forget(oldest)
        _give_up(oldest)  # who closes the recorder meanwhile waits for *call*, which is beginning

    def forget(self, call: Call) -> None:
        """Know *call* no longer as open."""
        key, run_key = id(call), id(call.run)
        with self._lock:
            self._calls.pop(key, None)
            of_run = self.by_run.get(run_key)
            if of_run is not None:
                of_run.discard(key)
                if not of_run:
                    del self.by_run[run_key]

    def find(self, run: Any, name: str, call_id: str | None) -> ToolCall | None:
        """Return the open call of *run* that has this *call_id*, else this tool's *name*; None for none.

        A tool of an MCP server is found by the server's name for it too: ``mcp__<server>__<tool>`` is its client's.
        """
        with self._lock:
            of_run = self.by_run.get(id(run), set())
            calls = [call for key, call in self._calls.items() if key in of_run]
        tools = [call for call in calls if isinstance(call, ToolCall)]
        by_id = next((call for call in tools if call.id == call_id), None)
        return by_id or next((call for call in tools if _is_called(call.name, name)), None)

    def note_ended_run(self, run: Any) -> None:
        """Give up what *run* has left open some minutes from now."""
        with self._lock:
            if left := self.by_run.get(id(run)):
                due = self._now() + AFTER_ITS_RUN_SECONDS
                calls = [self._calls[key] for key in left if key in self._calls]
                self.left_open.append((due, calls))

    def sweep(self) -> None:
        """Give up what has been open for too long after its run; called whenever a run is opened."""
        overdue: list[Call] = []
        with self._lock:
            now = self._now()
            while self.left_open and self.left_open[0][0] <= now:
                overdue += self.left_open.popleft()[1]
        for call in overdue:
            _give_up(call)

    def give_up_all(self) -> None:
        """End every call that is open; none begins after this."""
        with self._lock:
            self._is_closed = True
            calls = list(self._calls.values())
            self.left_open.clear()
        for call in calls:
            _give_up(call)

    def leave_to_parent(self) -> None:
        """Leave what is open to the parent, in a forked child."""
        self._lock = threading.RLock()
        for call in self._calls.values():
            call.leave_to_parent()
        self._calls.clear()
        self.by_run.clear()
        self.left_open.clear()


def _give_up(call: Call) -> None:
    with call.run.recorder.guard("tool_call_failed"):
        call.fail("its end was not reported", code=NO_END)


def _is_called(full: str, name: str) -> bool:
    return full == name or (full.startswith("mcp__") and full.endswith(f"__{name}"))
