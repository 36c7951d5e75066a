"""A run of LangChain's: what is known of it until it ends, and how it ends."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

from trailhouse.capture.langchain.signals import is_signal
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run

MAX_HELD_ERRORS = 100


class AgentRun:
    """A run of an agent, a graph or a chain, and what is known of it before its end.

    Attributes:
        run: The run.
        is_ours: Whether it is ours to end; else it is the one that was bound around LangChain.
        root: The one that is LangChain's root, whose input and answer are recorded; itself if it is that.
        is_paused: Whether it waits for a person.
        interrupts: The ids of the interrupts that were told within it; a root's.
        waiting_decisions: A person's decisions, before it is known on which calls; a root's.
    """

    def __init__(self, run: Run, *, is_ours: bool, root: AgentRun | None = None) -> None:
        self.run = run
        self.is_ours = is_ours
        self.root = root or self
        self.is_paused = False
        self.interrupts: set[str] = set()
        self.waiting_decisions: list[Any] = []
        self._lock = threading.Lock()
        self._has_question = False
        self._call_counts: dict[str, int] = {}
        self._held: list[tuple[BaseException, dt.datetime]] = []
        self._told: list[BaseException] = []

    @property
    def is_root(self) -> bool:
        """Whether it is LangChain's root."""
        return self.root is self

    def note_question(self, question: Any) -> None:
        """Record what the run is asked, once; None is nothing."""
        if question is not None and not self._has_question:
            self._has_question = True
            self.run.message(question, role="user")

    def note_model_call(self, *, has_ended: bool) -> None:
        """Note that a model is called or has answered, for who else may see the same call."""
        with self._lock:
            self.run.model_calls_open = max(0, self.run.model_calls_open + (-1 if has_ended else 1))

    def call_id(self, given: str) -> str:
        """Return *given*, numbered where this run has had a call of that id: a retry is a call of its own."""
        count = self._call_counts[given] = self._call_counts.get(given, 0) + 1
        return given if count == 1 else f"{given}/{count}"

    def tell(self, error: BaseException) -> None:
        """Note that *error* is recorded, as the failure of a call."""
        self._told.append(error)
        del self._told[:-MAX_HELD_ERRORS]

    def hold(self, error: BaseException) -> None:
        """Keep the *error* of a step: it is told when it turns out that the run went on, as after a retry."""
        if len(self._held) < MAX_HELD_ERRORS and not any(each is error for each in self._told):
            at = dt.datetime.fromtimestamp(self.run.recorder.now_ns() / 1e9, dt.UTC)
            self._held.append((error, at))
            self.tell(error)

    def end(self, error: BaseException | None = None) -> None:
        """End the run as *error* says."""
        if not self.is_ours:
            return
        for held, at in self._held:
            if held is not error and held is not getattr(error, "__cause__", None):
                self.run.error_occurred(held, at=at)
        if is_signal(error, "ParentCommand"):
            self.run.end(stop_reason="handed_off")
        elif is_signal(error, "GraphBubbleUp") or (error is None and self.is_paused):
            self.run.pause()
        elif is_signal(
            error, "NodeTimeoutError"
        ):  # which is no TimeoutError, so that retries catch it
            self.run.end_as(EventType.RUN_TIMEOUT, error)
        else:
            self.run.end(error)
        self._held.clear()
        self._told.clear()
