"""Around the SDK's `query`: what it streams is recorded, and goes on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.messages import said
from trailhouse.capture.claude_agent.options import with_hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trailhouse.capture.claude_agent.conversation import Conversation


async def watched(
    conversation: Conversation, prompt: object, options: Any, start: Any, *, is_strict: bool
) -> AsyncIterator[Any]:
    """Yield the messages of the stream that *start* makes of *options*, and record them; its error goes on.

    The turn's run is bound while the stream works, so that what the SDK starts there finds it as its parent.
    """
    recorder, hooked, error = conversation.recorder, options, None
    with recorder.guard("query", strict=is_strict):
        hooked = with_hooks(options, conversation, is_strict=is_strict)
        conversation.connecting(options, prompt)
    stream = start(hooked)
    try:
        while True:
            with conversation.around():
                try:
                    message = await anext(stream)
                except StopAsyncIteration:
                    return
            with recorder.guard("a message", strict=is_strict):
                said(conversation, message)
            yield message
    except BaseException as raised:
        error = raised
        raise
    finally:
        # A loop that ends does not wait for the command line to stop: the logger's end is then the stream's.
        forget = recorder.settle_by(lambda: conversation.close(error))
        try:
            await close(stream)
        finally:
            forget()
            with recorder.guard("the end of a stream"):
                conversation.close(error)


async def close(stream: Any) -> None:
    """Close a stream that may be a generator."""
    # As the SDK does itself: `async for` does not close what it was reading from.
    if hasattr(stream, "aclose"):
        await stream.aclose()
