"""The steps that LangChain tells of, each with the run that it belongs to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from trailhouse.capture.langchain.agent_run import AgentRun
    from trailhouse.producer.context import Binding
    from trailhouse.producer.recording.tool_call import ToolCall

MAX_OPEN_STEPS = 100_000
MAX_ENDED_STEPS = 4_096


class Step:
    """A chain, tool, model call or retriever that is at work, and the run that it belongs to."""

    __slots__ = ("around", "binding", "call", "info", "is_root", "kind", "owner", "parts_at_work")

    def __init__(
        self, owner: AgentRun | None, kind: str, *, is_root: bool, info: dict[str, Any]
    ) -> None:
        self.owner = owner
        self.kind = kind
        self.is_root = is_root
        self.info = info
        self.around: Step | None = None
        self.parts_at_work = 0
        self.binding: Binding | None = None
        self.call: ToolCall | None = None

    @property
    def is_run(self) -> bool:
        """Whether this step is the run, and its end the run's."""
        return self.is_root and self.owner is not None and self.owner.is_ours

    def bind(self) -> None:
        """Make the run the current one for what is called in this step."""
        if self.owner is not None:
            self.binding = self.owner.run.bound()
            self.binding.__enter__()

    def unbind(self) -> None:
        """Undo `bind`, also from the other task that LangChain ends steps in."""
        if self.binding is not None:
            self.binding.__exit__(None, None, None)


class Steps:
    """The steps that are at work, and the runs of those that have lately ended: late steps find theirs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[UUID, Step] = OrderedDict()
        self._ended: OrderedDict[UUID, Step] = OrderedDict()

    def find(self, run_id: UUID | None) -> Step | None:
        """Return the step *run_id*, at work or lately ended."""
        with self._lock:
            return None if run_id is None else self._open.get(run_id) or self._ended.get(run_id)

    def begin(self, run_id: UUID, step: Step) -> None:
        """Know *step* as at work."""
        with self._lock:
            self._open[run_id] = step
            if step.around is not None:
                step.around.parts_at_work += 1
            if len(self._open) > MAX_OPEN_STEPS:
                self._open.popitem(last=False)

    def end(self, run_id: UUID) -> Step | None:
        """Return the step *run_id*, which ends; None where it is not known."""
        with self._lock:
            step = self._open.pop(run_id, None)
            if step is not None:
                if step.around is not None:
                    step.around.parts_at_work -= 1
                self._ended[run_id] = step
                if len(self._ended) > MAX_ENDED_STEPS:
                    self._ended.popitem(last=False)
        return step
