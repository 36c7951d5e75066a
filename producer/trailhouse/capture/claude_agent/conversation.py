"""One conversation with Claude: each prompt's turn is a run, told by the CLI's hooks and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.subagents import Subagents
from trailhouse.capture.claude_agent.tools import Tools
from trailhouse.capture.claude_agent.turn import answered
from trailhouse.capture.claude_agent.turns import Turns
from trailhouse.capture.claude_agent.usage import SessionUsage
from trailhouse.producer.recording.usage import Usage
from trailhouse.schemas.event_type import EventType

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.memory import Memory
    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run


class Conversation(Turns):
    """Records one connection, as hooks and messages tell of it."""

    def __init__(
        self, recorder: Recorder, memory: Memory, *, agent_id: str | None, has_messages: bool
    ) -> None:
        super().__init__(recorder, agent_id)
        self.memory = memory
        self.has_messages = has_messages
        self.is_resumed = False
        self.usage = SessionUsage(memory.counted, None, is_resumed=False)
        self.tools = Tools(memory.deferred)
        self.subagents = Subagents(recorder)

    def of(self, _session_id: str | None, _call_id: str | None) -> Conversation:
        """Return itself: its hooks tell of nothing else."""
        return self

    def connecting(self, options: Any, prompt: object, *, is_turn: bool = True) -> None:
        """The CLI is about to be started, with *options* that may name its session, and perhaps with a prompt."""
        self.is_resumed = bool(options.resume or options.continue_conversation)
        self.usage = SessionUsage(self.memory.counted, options.resume, is_resumed=self.is_resumed)
        resumed = None if options.fork_session else options.resume
        self.session_id = getattr(options, "session_id", None) or resumed
        if is_turn:
            self.is_bound = isinstance(prompt, str)
            self.begin_turn(prompt)

    def prompted(self, session_id: str | None, prompt: object) -> None:
        """A prompt has arrived at the CLI, and with it the session."""
        if not self.turns or self.turns[-1].is_stopping:
            self.open_turn()
        turn = self.turns[-1]
        if turn.is_submitted or not turn.has_prompt:  # the first of a string's turn is that string
            turn.prompts.append(prompt)
        turn.is_submitted = turn.has_prompt = True
        self.begun(turn, session_id)

    @property
    def is_going_on(self) -> bool:
        """Whether the CLI goes on where the session was left, and has not come to the prompt."""
        return self.is_resumed and bool(self.turns) and not self.turns[-1].is_submitted

    def going_on(self) -> Run:
        """Return the run of what goes on where the session was left; the prompt begins another."""
        turn = self.oldest
        turn.prompts, turn.has_prompt = [], False
        return self.begun(turn, None)

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
