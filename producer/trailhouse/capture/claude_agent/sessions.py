"""The conversations of options that are used by themselves, which their hooks alone tell of."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.capture.claude_agent.conversation import Conversation

MAX_SESSIONS = 1_000


class Sessions:
    """The conversations of options that may be used more than once, by session."""

    def __init__(self, open_conversation: Callable[[], Conversation]) -> None:
        self._open = open_conversation
        self._known: OrderedDict[str | None, Conversation] = OrderedDict()

    def of(self, session_id: str | None, call_id: str | None) -> Conversation:
        """Return the conversation of a session, else the one that has the call."""
        if session_id is None:  # a permission callback is not told it, but the call
            for conversation in reversed(self._known.values()):
                if call_id is not None and conversation.tools.name_of(call_id) is not None:
                    return conversation
        if session_id not in self._known:
            self._known[session_id] = self._open()
            if len(self._known) > MAX_SESSIONS:
                self._known.popitem(last=False)[1].close(None)
        return self._known[session_id]
