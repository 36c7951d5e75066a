"""Around the SDK's client: each of its turns is recorded, and goes on as it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.conversation import Conversation
from trailhouse.capture.claude_agent.messages import said
from trailhouse.capture.claude_agent.options import finder_in, with_hooks
from trailhouse.capture.claude_agent.streams import close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    OpensIfRecording = Callable[[], Conversation | None]

ATTACHED = "_trailhouse_conversation"
"""The attribute of a client that holds who opened its conversation, and that, from its connection on."""


def client_methods(cls: Any, opens: OpensIfRecording, *, is_strict: bool) -> dict[str, Any]:
    """Return the methods of the client class *cls* that record, by name; each calls what it takes the place of.

    Where that is ours again, perhaps beneath another's wrapper, the outer one records. *opens* returns None where
    nothing is recorded any more: a conversation that is open then is recorded to its end.
    """
    methods = {}
    for name, make in RECORDED.items():
        plain = getattr(cls, name)
        methods[name] = functools.wraps(plain)(make(plain, opens, is_strict))
    return methods


def _attached(client: Any, opens: OpensIfRecording) -> Conversation | None:
    """Return the conversation of *client*, where it is these methods that record it."""
    opened_by, conversation = getattr(client, ATTACHED, (None, None))
    return conversation if opened_by == opens else None


def _connect(plain: Any, opens: OpensIfRecording, is_strict: bool) -> Any:
    async def connect(self: Any, prompt: Any = None) -> Any:
        options = self.options
        is_recorded = isinstance(finder_in(options), Conversation)
        conversation = None if is_recorded else opens()
        if conversation is None:
            return await plain(self, prompt)
        with conversation.recorder.guard("connect", strict=is_strict):
            self.options = with_hooks(options, conversation, is_strict=is_strict)
            conversation.connecting(options, prompt, is_turn=prompt is not None)
        try:
            with conversation.around():
                await plain(self, prompt)
            setattr(self, ATTACHED, (opens, conversation))
        except BaseException as error:
            with conversation.recorder.guard("connect"):
                conversation.close(error)
            raise
        finally:
            self.options = options

    return connect


def _query(plain: Any, opens: OpensIfRecording, is_strict: bool) -> Any:
    async def query(self: Any, prompt: Any, session_id: str = "default") -> Any:
        conversation = _attached(self, opens)
        if conversation is None:
            return await plain(self, prompt, session_id)
        with conversation.recorder.guard("query", strict=is_strict):
            conversation.begin_turn(prompt)
        with conversation.around():
            return await plain(self, prompt, session_id)

    return query


def _receive_messages(plain: Any, opens: OpensIfRecording, is_strict: bool) -> Any:
    async def receive_messages(self: Any) -> AsyncIterator[Any]:
        stream, conversation = plain(self), _attached(self, opens)
        try:
            async for message in stream:
                if conversation is not None:
                    with conversation.recorder.guard("a message", strict=is_strict):
                        said(conversation, message)
                yield message
            _ended(_attached(self, opens), None)
        except Exception as error:
            _ended(_attached(self, opens), error)
            raise
        finally:
            await close(stream)  # a reader may stop, and go on with another: that ends no turn

    return receive_messages


def _interrupt(plain: Any, opens: OpensIfRecording, _is_strict: bool) -> Any:
    async def interrupt(self: Any) -> Any:
        conversation = _attached(self, opens)
        if conversation is not None:
            with conversation.recorder.guard("interrupt"):
                conversation.interrupted()
        return await plain(self)

    return interrupt


def _disconnect(plain: Any, opens: OpensIfRecording, _is_strict: bool) -> Any:
    async def disconnect(self: Any) -> Any:
        try:
            return await plain(self)
        finally:
            _ended(_attached(self, opens), None)

    return disconnect


def _aexit(plain: Any, opens: OpensIfRecording, _is_strict: bool) -> Any:
    async def leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if error is not None:
            _ended(_attached(self, opens), error)
        return await plain(self, kind, error, trace)

    return leave


def _ended(conversation: Conversation | None, error: BaseException | None) -> None:
    if conversation is not None:
        with conversation.recorder.guard("the end of a conversation"):
            conversation.close(error)


RECORDED: dict[str, Any] = {
    "connect": _connect,
    "query": _query,
    "receive_messages": _receive_messages,
    "interrupt": _interrupt,
    "disconnect": _disconnect,
    "__aexit__": _aexit,
}
