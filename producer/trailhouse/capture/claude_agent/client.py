"""Around the SDK's client: each of its turns is recorded, and goes on as it is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.messages import said
from trailhouse.capture.claude_agent.options import with_hooks
from trailhouse.capture.claude_agent.streams import close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trailhouse.capture.claude_agent.streams import Opens

ATTACHED = "_trailhouse_conversation"
"""The attribute of a client that holds its conversation, from its connection on."""
PLAIN = "_trailhouse_plain"
"""The attribute of a method of ours that holds the SDK's own."""


def client_methods(cls: Any, open_conversation: Opens, *, is_strict: bool) -> dict[str, Any]:
    """Return the methods of the client class *cls* that record, by name; each calls the SDK's own."""
    methods = {}
    for name, make in RECORDED.items():
        plain = getattr(cls, name)
        plain = getattr(plain, PLAIN, plain)  # ours may be installed over it
        methods[name] = functools.wraps(plain)(make(plain, open_conversation, is_strict))
        setattr(methods[name], PLAIN, plain)
    return methods


def _connect(plain: Any, open_conversation: Opens, is_strict: bool) -> Any:
    async def connect(self: Any, prompt: Any = None) -> Any:
        conversation, options = open_conversation(), self.options
        with conversation.recorder.guard("connect", strict=is_strict):
            self.options = with_hooks(options, conversation, is_strict=is_strict)
            conversation.connecting(options, prompt, is_turn=prompt is not None)
        try:
            with conversation.around():
                await plain(self, prompt)
            setattr(self, ATTACHED, conversation)
        except BaseException as error:
            with conversation.recorder.guard("connect"):
                conversation.close(error)
            raise
        finally:
            self.options = options

    return connect


def _query(plain: Any, _open: Opens, is_strict: bool) -> Any:
    async def query(self: Any, prompt: Any, session_id: str = "default") -> Any:
        conversation = getattr(self, ATTACHED, None)
        if conversation is None:
            return await plain(self, prompt, session_id)
        with conversation.recorder.guard("query", strict=is_strict):
            conversation.begin_turn(prompt)
        with conversation.around():
            return await plain(self, prompt, session_id)

    return query


def _receive_messages(plain: Any, _open: Opens, is_strict: bool) -> Any:
    async def receive_messages(self: Any) -> AsyncIterator[Any]:
        stream, conversation = plain(self), getattr(self, ATTACHED, None)
        try:
            async for message in stream:
                if conversation is not None:
                    with conversation.recorder.guard("a message", strict=is_strict):
                        said(conversation, message)
                yield message
            _ended(self, None)
        except Exception as error:
            _ended(self, error)
            raise
        finally:
            await close(stream)  # a reader may stop, and go on with another: that ends no turn

    return receive_messages


def _interrupt(plain: Any, _open: Opens, _is_strict: bool) -> Any:
    async def interrupt(self: Any) -> Any:
        conversation = getattr(self, ATTACHED, None)
        if conversation is not None:
            with conversation.recorder.guard("interrupt"):
                conversation.interrupted()
        return await plain(self)

    return interrupt


def _disconnect(plain: Any, _open: Opens, _is_strict: bool) -> Any:
    async def disconnect(self: Any) -> Any:
        try:
            return await plain(self)
        finally:
            _ended(self, None)

    return disconnect


def _aexit(plain: Any, _open: Opens, _is_strict: bool) -> Any:
    async def leave(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if error is not None:
            _ended(self, error)
        return await plain(self, kind, error, trace)

    return leave


def _ended(client: Any, error: BaseException | None) -> None:
    conversation = getattr(client, ATTACHED, None)
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
