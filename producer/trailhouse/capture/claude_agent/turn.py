"""One turn of a conversation with Claude: a run that has not ended, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.producer.recording.run import Run


class Turn:
    """The run of a prompt, from when that is sent until its result is read."""

    def __init__(self, run: Run, prompt: object) -> None:
        self.run = run
        self.prompts: list[object] = [] if prompt is None else [prompt]
        self.has_prompt = prompt is not None
        self.is_submitted = False
        self.model: str | None = None
        self.is_begun = False
        self.has_spoken = False
        self.is_stopping = False
        self.is_interrupted = False


def answered(run: Run, answer: object) -> None:
    """Log what the agent answered in the end: of a run that nothing recorded is around."""
    if run.parent is None and answer is not None:
        run.message(answer, role="assistant")
