"""A span as the processor knows it: what it is, what it stands beneath, and what it has us record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse.capture.otel.ending import tells_of_error
from trailhouse.capture.otel.kinds import Kind, kind_of
from trailhouse.capture.otel.reading import attributes_of
from trailhouse.capture.otel.shapes import shape_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from trailhouse.capture.otel.ending import Ending
    from trailhouse.capture.otel.late_call import LateCall
    from trailhouse.producer.recording.run import Run
    from trailhouse.producer.recording.tool_call import ToolCall
    from trailhouse.producer.recording.usage import Usage

MAX_DEPTH = 200
LEFT_OPEN_WHEN_FAILED = frozenset(("openinference.instrumentation.smolagents",))
"""Scopes that never end the span of a run that failed, and leave it current for all that comes after."""

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
        is_run: Whether it is a run, or stands round runs.
        known: How many attributes it had when that was judged.
        scope: The name of its instrumentation scope.
        ids: The trace's, and its own.
        is_aside: It is seen by somebody else, or is the scaffolding of another span: it records nothing itself.
        run: The run that it opened, or whose part it is.
        host: The workflow whose run this agent's span takes for its own.
        guest: The agent that took this workflow's run for its own.
        has_own: Something was recorded in its run by a span directly beneath it.
        last: How the last agent beneath this workflow, or a span within this tool's call, ended.
        late: Its tool call, whose start waits for its attributes.
        within: The span that tells of this one's tool call too, and records it.
        call: The tool's call.
        inner_usage: What a model span within this model span says.
        held: Runs beneath this root whose end is open.
        is_paused: The run waits for an approval.
        told: Which roles' messages of this root are logged.
        in_flight: What was being raised or handled as it started.
    """

    # Defaults of the class: nearly every span is nothing to us, and costs what is set as it is made.
    is_aside = False
    has_ended = False
    has_own = False
    is_paused = False
    depth = 0
    run: Run | None = None
    host: Node | None = None
    guest: Node | None = None
    last: Ending | None = None
    call: ToolCall | None = None
    within: Node | None = None
    late: LateCall | None = None
    inner_usage: Usage | None = None
    held: tuple[Held, ...] = ()
    is_run = False
    told: frozenset[str] = frozenset()
    in_flight: BaseException | None = None

    def __init__(
        self, span: Any, above: Node | None, kind: Kind | None, known: int, scope: str,
        ids: tuple[int, int],
    ) -> None:  # fmt: skip
        self.span = span
        self.ids = ids
        self.scope = scope
        self.above = above
        self.kind = kind
        self.known = known
        if kind is not None:
            self.is_run = kind in _RUN_KINDS
        if above is not None:
            self.depth = above.depth + 1
            if self.depth > MAX_DEPTH:  # a chain without an end keeps the nearest that counts alone
                self.above, self.depth = above.nearest(), 0

    @property
    def name(self) -> str:
        return str(self.span.name)

    def judge(self) -> bool:
        """Tell whether a span that was nothing to us is something by the attributes that it has by now."""
        attributes = attributes_of(self.span)
        if len(attributes) == self.known:
            return False
        self.known = len(attributes)
        self.kind = kind_of(self.span.name, attributes, self.scope, shape_of(attributes).kinds)
        self.is_run = self.kind in _RUN_KINDS
        return self.kind is not None

    def chain(self) -> Iterator[Node]:
        """The spans above it, the nearest first."""
        node = self.above
        while node is not None:
            yield node
            node = node.above

    def nearest(self) -> Node | None:
        """The nearest span above it that counts."""
        node = self.above
        while node is not None and (node.kind is None or node.is_aside):
            node = node.above
        return node

    def run_above(self) -> Node | None:
        """The nearest span above it that is a run."""
        node = self.above
        while node is not None and (not node.is_run or node.is_aside):
            node = node.above
        return node

    @property
    def is_left_open(self) -> bool:
        """Whether its run has failed and nobody will end it: what comes within it has nothing to do with it."""
        return self.scope in LEFT_OPEN_WHEN_FAILED and (
            self.kind is Kind.RUN and tells_of_error(self.span)
        )

    def root(self) -> Node | None:
        """The topmost run above it that has not ended."""
        above = [node for node in self.chain() if node.run is not None and not node.has_ended]
        return above[-1] if above else None
