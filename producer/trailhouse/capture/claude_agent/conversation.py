"""One conversation with Claude: each prompt's turn is a run, told by the CLI's hooks and messages."""

from __future__ import annotations

from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.subagents import Subagents
from trailhouse.capture.claude_agent.tools import Tools
from trailhouse.capture.claude_agent.turn import Turn, answered
from trailhouse.capture.claude_agent.usage import SessionUsage
from trailhouse.producer.recording.usage import Usage
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

SOURCE = "claude_agent"
AGENT = "claude-code"
INJECTED = (
    "<task-notification>"  # how the CLI begins a prompt of its own: a background task has ended
)


class Conversation:
    """Records the turns of one connection. Hooks tell of the newest, messages of the oldest that has no result.

    A hook arrives as the CLI sends it, and a message when the application reads it, which may be later.
    """

    def __init__(self, recorder: Recorder, *, agent_id: str | None, has_messages: bool) -> None:
        self.recorder = recorder
        self.has_messages = has_messages
        self.usage = SessionUsage()
        self.tools = Tools()
        self.subagents = Subagents(recorder)
        self._agent_id = agent_id
        self._parent = recorder.current
        self._session_id: str | None = None
        self.turns: deque[Turn] = deque()

    def of(self, _session_id: str | None, _call_id: str | None) -> Conversation:
        """Return itself: its hooks tell of nothing else."""
        return self

    def connecting(self, options: Any, prompt: object, *, is_turn: bool = True) -> None:
        """The CLI is about to be started, with *options* that may name its session, and perhaps with a prompt."""
        resumed = None if options.fork_session else options.resume
        self._session_id = getattr(options, "session_id", None) or resumed
        if is_turn:
            self.begin_turn(prompt)

    def begin_turn(self, prompt: object) -> None:
        """Open the run of a prompt; of one that comes before the last turn has ended the CLI says where it belongs."""
        if not self.turns:
            self.open_turn(prompt if isinstance(prompt, str) else None)

    def open_turn(self, prompt: object = None) -> Turn:
        """Open the run of a turn; its start is logged when its session is known."""
        run = self.recorder.open_run(
            self._session_id, source=SOURCE, parent=self._parent, agent_id=self._agent_id,
            provider="anthropic", is_deferred=True, begins_alone=False,
        )  # fmt: skip
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

    def prompted(self, session_id: str | None, prompt: object) -> None:
        """A prompt has arrived at the CLI, and with it the session."""
        if not self.turns or self.turns[-1].is_stopping:
            self.open_turn()
        turn = self.turns[-1]
        if turn.is_submitted or not turn.has_prompt:  # the first of a string's turn is that string
            turn.prompts.append(prompt)
        turn.is_submitted = turn.has_prompt = True
        self.begun(turn, session_id)

    def running(self, session_id: str | None, agent_id: str | None = None) -> Run:
        """Return the run that a hook tells of: a subagent's, else the newest turn's."""
        child = None if agent_id is None else self.subagents.run_of(agent_id)
        turn = self.turns[-1] if self.turns else self.open_turn()
        return child or self.begun(turn, session_id)

    def stopping(self, answer: object) -> None:
        """The agent has said its last word of the newest turn; without messages that is all there is of its end."""
        if not self.turns:
            return
        turn = self.turns[-1]
        turn.is_stopping = True
        if not self.has_messages:
            answered(turn.run, answer)
            turn.run.use(Usage(model=turn.model))
            self.subagents.settle(None)
            self.tools.end_all(turn.run)
            self.turns.remove(turn)
            turn.run.end()

    @property
    def oldest(self) -> Turn:
        """The turn that messages tell of."""
        return self.turns[0] if self.turns else self.open_turn()

    def bound(self) -> Any:
        """Return a block in which the newest turn's run is the current one."""
        return self.turns[-1].run.bound() if self.turns else nullcontext()

    def interrupted(self) -> None:
        """The application has asked to stop: an error that follows is no failure."""
        if self.turns:
            self.turns[0].is_interrupted = True

    def close(self, error: BaseException | None) -> None:
        """End what is open: the stream is over, by *error* or without a result."""
        while self.turns:
            turn = self.turns.popleft()
            if error is None and not (turn.has_prompt or turn.is_begun):
                self.recorder.forget_run(turn.run)  # nothing was sent
                continue
            if turn.has_spoken:
                turn.run.use(Usage(model=turn.model))
            self.begun(turn, None)
            self.tools.end_all(turn.run)
            if error is None:
                turn.run.end_as(EventType.RUN_CANCELLED, {"code": "no_result"})
            else:
                turn.run.end(error)
        self.subagents.close(self.tools, error)
