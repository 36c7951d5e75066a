"""What happens outside of any run: a model called, or a tool served, by nobody's agent."""

from __future__ import annotations

from trailhouse.producer.recording.run import Run
from trailhouse.schemas.uuid7 import uuid7


class NoRun(Run):
    """Logs as a run does, in a session and without a run: it has neither a start nor an end.

    Made by `Recorder.outside_runs`. Its session is that of its trace, in want of another.
    """

    @property
    def id(self) -> str:
        """Nothing: its events have no `run_id`."""
        return ""

    def begin(self) -> None:
        """Log no start."""
        with self.lock:
            if self.fields.session_id is None:
                self.fields.session_id = self.fields.trace_id or uuid7()
