"""A span as the processor knows it: what it is, what it stands beneath, and what it has us record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.kinds import Kind, kind_of
from trailhouse.capture.otel.reading import attributes_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from trailhouse.capture.otel.ending import Ending
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall
    from trailhouse.producer.recording.usage import Usage

MAX_DEPTH = 200
_RUN_KINDS = frozenset((Kind.RUN, Kind.WORKFLOW, Kind.CHAIN))


class Held:
    """A run whose span ended as its generator was closed; how it ended is seen when the root ends."""

    __slots__ = ("at", "ending", "run")

    def __init__(self, run: Run, ending: Ending, at: dt.datetime | None) -> None:
        self.run, self.ending, self.at = run, ending, at

    def end(self, ending: Ending) -> None:
        """End the run as is seen by now."""
        self.run.end_as(ending.type, ending.error, at=self.at)


class Node:
    """One span.

    Attributes:
        span: The live span; as it has ended, what it was at its end.
        above: The span that it stands beneath, where that is known.
        kind: What it is to us; None for nothing, which may change as its attributes come.
        is_aside: It is seen by somebody else, or is the scaffolding of another span: it records nothing itself.
        run: The run that it opened, or whose part it is.
        host: The workflow whose run this agent's span takes for its own.
        guest: The agent that took this workflow's run for its own.
        has_own: Something was recorded in its run by a span directly beneath it.
        last: How the last agent beneath this workflow, or a span within this tool's call, ended.
        within: The span that tells of this one's tool call too, and records it.
        call: The tool's call.
        inner_usage: What a model span within this model span says.
        held: Runs beneath this root whose end is open.
        is_paused: The run waits for an approval.
        told: Which roles' messages of this root are logged.
        in_flight: What was being raised or handled as it started.
    """

    __slots__ = (
        "above", "call", "depth", "guest", "has_ended", "has_own", "held", "host", "in_flight", "inner_usage",
        "is_aside", "is_paused", "kind", "last", "run", "span", "told", "within",
    )  # fmt: skip

    def __init__(self, span: Any, above: Node | None, kind: Kind | None) -> None:
        self.span = span
        self.above = above
        self.kind = kind
        self.depth = 0
        if above is not None:
            self.depth = above.depth + 1
            if (
                self.depth > MAX_DEPTH
            ):  # spans chained without an end keep no more than the nearest that counts
                self.above, self.depth = above.nearest(), 0
        self.is_aside = False
        self.has_ended = False
        self.has_own = False
        self.is_paused = False
        self.run: Run | None = None
        self.host: Node | None = None
        self.guest: Node | None = None
        self.last: Ending | None = None
        self.call: ToolCall | None = None
        self.within: Node | None = None
        self.inner_usage: Usage | None = None
        self.held: list[Held] = []
        self.told: set[str] = set()
        self.in_flight: BaseException | None = None

    @property
    def name(self) -> str:
        return str(self.span.name)

    @property
    def scope(self) -> str:
        """The name of the instrumentation scope."""
        scope = getattr(self.span, "instrumentation_scope", None)
        return str(getattr(scope, "name", "") or "")

    @property
    def is_run(self) -> bool:
        return self.kind in _RUN_KINDS

    def judge(self) -> Kind | None:
        """Return what it is by the name and the attributes that it has by now."""
        return kind_of(self.name, attributes_of(self.span), self.scope)

    def chain(self) -> Iterator[Node]:
        """The spans above it, the nearest first."""
        node = self.above
        while node is not None:
            yield node
            node = node.above

    def nearest(self) -> Node | None:
        """The nearest span above it that counts."""
        return next((n for n in self.chain() if n.kind is not None and not n.is_aside), None)

    def root(self) -> Node | None:
        """The topmost run above it that has not ended."""
        above = [node for node in self.chain() if node.run is not None and not node.has_ended]
        return above[-1] if above else None
