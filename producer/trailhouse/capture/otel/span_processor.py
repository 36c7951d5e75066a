"""The span processor: agents, tools and model calls that spans tell of are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.capture.otel.later_hooks import LaterHooks
from trailhouse.capture.otel.trees import tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

    from trailhouse.producer import AuditLogger
else:
    SpanProcessor = LaterHooks  # to import this takes no SDK, which asks for no class of its own


class AuditSpanProcessor(SpanProcessor):
    """Records in *audit* the runs, tool calls and model calls of the spans that it is told of.

    Exports nothing, changes no span, and returns as soon as the events are in the logger's queue or spool. A span that
    the sampler drops never comes here: see `audit_sampler`. Several processors of one logger record once.

    Args:
        audit: Where to record.
        strict: Have what cannot be recorded raise in the application, which the SDK lets through.
    """

    def __init__(self, audit: AuditLogger, *, strict: bool = False) -> None:
        recorder, self._tree = audit.recorder, tree_of(audit)
        self._strict, self._note_loss = strict, recorder.note_loss
        self._start: Callable[..., None] = self._tree.start
        self._end: Callable[..., None] = self._tree.end
        if strict:  # else a guard's frames, which each span would pay for, are in its methods below
            self._start = recorder.guard("the start of a span", strict=True)(self._tree.start)
            self._end = recorder.guard("the end of a span", strict=True)(self._tree.end)
        self._closing = recorder.guard("what the spans left open", strict=strict)
        self._is_on = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Take in a span that starts."""
        if self._is_on:
            try:
                self._start(span, parent_context)
            except Exception as error:
                if self._strict:
                    raise
                self._note_loss("the start of a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Take in that a span ended."""
        if self._is_on:
            try:
                self._end(span)
            except Exception as error:
                if self._strict:
                    raise
                self._note_loss("the end of a span", error)

    def _on_ending(self, span: Span) -> None:
        """Nothing: said here, since each span that ends would pay for the search that `LaterHooks` ends."""

    def shutdown(self) -> None:
        """Abandon the runs whose spans have not ended, and record nothing from now on."""
        if self._is_on:
            self._is_on = False
            with self._closing:
                self._tree.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here. What waits in the logger is `AuditLogger.flush`'s."""
        return True
