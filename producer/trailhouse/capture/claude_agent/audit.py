"""Claude's agents, audited: by hooks in their options, by `query` or a client of ours, or all that there are."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from trailhouse.capture.claude_agent.client import client_methods
from trailhouse.capture.claude_agent.conversation import Conversation
from trailhouse.capture.claude_agent.memory import Memory
from trailhouse.capture.claude_agent.options import finder_in, with_hooks
from trailhouse.capture.claude_agent.sessions import Sessions
from trailhouse.capture.claude_agent.streams import watched
from trailhouse.capture.claude_agent.turns import run_here
from trailhouse.capture.installation import Undo, install_once, note_use
from trailhouse.capture.replaced_methods import replace_methods

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trailhouse.producer import AuditLogger
    from trailhouse.producer.recording.recorder import Recorder

_memories: WeakKeyDictionary[Recorder, Memory] = WeakKeyDictionary()
_lock = threading.Lock()


class ClaudeAudit:
    """Records the agents of the Claude Agent SDK that are run through it: a run for each prompt's turn.

    Args:
        audit: Where they are recorded.
        agent_id: What the agent is called; ``claude-code`` if neither this nor a bind says.
        strict: Fail closed: the CLI starts no prompt and no tool that could not be recorded, and what could not be
            raises out of the stream. Otherwise nothing of ours reaches the application.
    """

    def __init__(
        self, audit: AuditLogger, *, agent_id: str | None = None, strict: bool = False
    ) -> None:
        note_use("claude_agent", audit)
        self._recorder = audit.recorder
        self._memory = _memory_of(self._recorder)
        self._agent_id = agent_id
        self._is_strict = strict

    def options(self, options: Any = None) -> Any:
        """Return a copy of *options*, a `ClaudeAgentOptions`, with our hooks beside its own.

        Hooks see tools, prompts and subagents, but neither usage, cost nor how a turn failed: for those give the
        options to `query` or `client`.
        """
        finder = Sessions(lambda: self._open(has_messages=False))
        return with_hooks(_given(options), finder, is_strict=self._is_strict)

    def query(self, *, prompt: Any, options: Any = None, **more: Any) -> AsyncIterator[Any]:
        """Return the messages of the SDK's `query`, with its arguments; what is read is recorded."""
        import claude_agent_sdk

        def start(hooked: Any) -> Any:
            return claude_agent_sdk.query(prompt=prompt, options=hooked, **more)

        conversation = self._open()
        return watched(conversation, prompt, _given(options), start, is_strict=self._is_strict)

    def client(self, options: Any = None, **more: Any) -> Any:
        """Return a `ClaudeSDKClient` of *options* whose turns are recorded."""
        from claude_agent_sdk import ClaudeSDKClient

        methods = client_methods(ClaudeSDKClient, self._open, is_strict=self._is_strict)
        return type("AuditedClaudeSDKClient", (ClaudeSDKClient,), methods)(options, **more)

    def patch(self) -> Undo:
        """Have every `query` and `ClaudeSDKClient` of this process recorded; return what undoes that."""
        from claude_agent_sdk import ClaudeSDKClient

        # Private: `query` itself may have been imported by name before, and calls this.
        from claude_agent_sdk._internal.client import InternalClient

        is_recording = True

        def opens() -> Conversation | None:
            return self._open() if is_recording else None

        methods = client_methods(ClaudeSDKClient, opens, is_strict=self._is_strict)
        ours = [(ClaudeSDKClient, name, method) for name, method in methods.items()]
        process_query = self._process_query(InternalClient.process_query, opens)
        put_back = replace_methods([*ours, (InternalClient, "process_query", process_query)])

        def undo() -> None:
            nonlocal is_recording
            is_recording = False  # somebody may have put a wrapper around ours
            put_back()

        return undo

    def _process_query(self, plain: Any, opens: Callable[[], Conversation | None]) -> Any:
        @functools.wraps(plain)
        def process_query(client: Any, prompt: Any, options: Any, *args: Any, **more: Any) -> Any:
            is_recorded = isinstance(finder_in(options), Conversation)  # by a `query` of ours
            conversation = None if is_recorded else opens()
            if conversation is None:
                return plain(client, prompt, options, *args, **more)

            def start(hooked: Any) -> Any:
                return plain(client, prompt, hooked, *args, **more)

            return watched(conversation, prompt, options, start, is_strict=self._is_strict)

        return process_query

    def _open(self, *, has_messages: bool = True) -> Conversation:
        return Conversation(
            self._recorder, self._memory, agent_id=self._agent_id, has_messages=has_messages
        )


def install(audit: AuditLogger, *, agent_id: str | None = None, strict: bool = False) -> Undo:
    """Have every `query` and `ClaudeSDKClient` of this process recorded; return what undoes that.

    Args:
        audit: Where they are recorded.
        agent_id: As for `ClaudeAudit`.
        strict: As for `ClaudeAudit`.

    Raises:
        ConfigError: The SDK is not installed, or not as it was tried. Permanent.
    """
    adapter = ClaudeAudit(audit, agent_id=agent_id, strict=strict)
    return install_once("claude_agent", audit, adapter.patch)


def _memory_of(recorder: Recorder) -> Memory:
    """Return what is remembered for *recorder*, which from now on finds the turn that the SDK works on."""
    with _lock:
        if recorder not in _memories:
            _memories[recorder] = Memory()
            recorder.bind_by(run_here)
        return _memories[recorder]


def _given(options: Any) -> Any:
    from claude_agent_sdk import ClaudeAgentOptions

    return ClaudeAgentOptions() if options is None else options
