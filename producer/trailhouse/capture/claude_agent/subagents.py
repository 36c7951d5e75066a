"""The subagents of one conversation with Claude: each is a child run of the turn that it began in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.producer.recording.usage import Usage
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.tools import Tools
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run


class Subagents:
    """Keeps a subagent's run open until a result tells what it used, which is after it has stopped."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._runs: dict[str, Run] = {}
        self._stopped: set[str] = set()

    def start(self, parent: Run, agent_id: str, kind: str | None) -> Run:
        """Open the run of a subagent, once; one that was stopped and goes on has another."""
        if agent_id in self._stopped:
            self._end(agent_id)
        if agent_id not in self._runs:
            self._runs[agent_id] = self._recorder.open_run(
                source=parent.source, parent=parent, agent_id=kind or "subagent",
                provider=parent.provider, metadata={"framework_agent_id": agent_id},
            )  # fmt: skip
        return self._runs[agent_id]

    def run_of(self, agent_id: str) -> Run | None:
        """Return the run of a subagent that is known."""
        return self._runs.get(agent_id)

    def stop(self, agent_id: str) -> None:
        """Note that a subagent has stopped."""
        if agent_id in self._runs:
            self._stopped.add(agent_id)

    def settle(self, used: Usage | None) -> bool:
        """Give what was used beside the turn to the subagent that ran; end those that have stopped. Tell if any ran.

        Who of several used how much the CLI does not say: their usage is missing.
        """
        have_run = bool(self._runs)
        if used is not None:
            for run in self._runs.values():
                run.use(used if len(self._runs) == 1 else Usage(model=used.model))
        for agent_id in list(self._stopped):
            self._end(agent_id)
        return have_run

    def _end(self, agent_id: str) -> None:
        self._stopped.discard(agent_id)
        self._runs.pop(agent_id).end()

    def close(self, tools: Tools, error: BaseException | None) -> None:
        """End all: those that have stopped well, and the others as what they ran in was ended."""
        for agent_id in list(self._stopped):
            self._end(agent_id)
        for run in self._runs.values():
            tools.end_all(run)
            if error is None:
                run.end_as(EventType.RUN_CANCELLED, {"code": "disconnected"})
            else:
                run.end(error)
        self._runs.clear()
        tools.end_all()
