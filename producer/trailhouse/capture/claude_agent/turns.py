"""The turns of one conversation with Claude: each is a run, from its prompt to its result."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING

from trailhouse.capture.claude_agent.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Generator

    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "claude_agent"
AGENT = "claude-code"
INJECTED = ("<task-notification>", "Continue from where you left off.")
"""How the CLI begins a prompt of its own: a background task has ended, or a session is gone on with."""

here: ContextVar[Turns | None] = ContextVar("trailhouse_claude_conversation", default=None)
"""What the SDK's tasks in this context work on."""


def run_here() -> Run | None:
    """Return the run of the newest turn that the SDK works on in this context."""
    around = here.get()
    turns = None if around is None else around.turns
    return turns[-1].run if turns else None


class Turns:
    """The turns that have no result yet. Hooks tell of the newest, messages of the oldest.

    A hook arrives as the CLI sends it, and a message when the application reads it, which may be later.

    Attributes:
        session_id: The session, where the options name it.
        is_bound: Whether the SDK works on one turn alone, which is bound then.
    """

    def __init__(self, recorder: Recorder, agent_id: str | None) -> None:
        self.recorder = recorder
        self.turns: deque[Turn] = deque()
        self.session_id: str | None = None
        self.is_bound = False
        self._agent_id = agent_id
        # Hooks are called in a context of the SDK's, in which an earlier turn may be bound.
        self._context = copy_context()

    def begin_turn(self, prompt: object) -> None:
        """Open the run of a prompt; of one that comes before the last turn has ended the CLI says where it belongs."""
        if not self.turns:
            self._opened(prompt if isinstance(prompt, str) else None)

    def open_turn(self) -> Turn:
        """Open the run of a turn that the CLI has begun."""
        return self._context.copy().run(self._opened)

    def _opened(self, prompt: object = None) -> Turn:
        run = self.recorder.open_run(
            source=SOURCE, agent_id=self._agent_id, provider="anthropic",
            is_deferred=True, begins_alone=False,
        )  # fmt: skip
        run.name(session_id=self.session_id)
        self.turns.append(Turn(run, prompt))
        return self.turns[-1]

    def begun(self, turn: Turn, session_id: str | None) -> Run:
        """Log the start of a turn, and what was asked, now that its session is known."""
        run = turn.run
        run.name(session_id=session_id, agent_id=AGENT)
        prompts, turn.prompts = turn.prompts, []
        for prompt in prompts if run.parent is None else []:
            is_injected = isinstance(prompt, str) and prompt.startswith(INJECTED)
            run.message(prompt, role="system" if is_injected else "user")
        run.begin()
        turn.is_begun = True
        return run

    @property
    def oldest(self) -> Turn:
        """The turn that messages tell of."""
        return self.turns[0] if self.turns else self.open_turn()

    @contextmanager
    def around(self) -> Generator[None]:
        """Have what is called, and what it starts, find the newest turn's run; of a string's query it is bound too."""
        token = here.set(self)
        try:
            with self.turns[-1].run.bound() if self.is_bound and self.turns else nullcontext():
                yield
        finally:
            here.reset(token)

    def interrupted(self) -> None:
        """The application has asked to stop: an error that follows is no failure."""
        if self.turns:
            self.turns[0].is_interrupted = True
