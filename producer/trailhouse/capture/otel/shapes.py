"""Which names of ours a span has: learnt once for each set of attributes, since spans of a kind have the same set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trailhouse.capture.otel import names
from trailhouse.capture.otel.kinds import BY_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.capture.otel.names import Names

MAX_SHAPES: Final = 2_000
MAX_NAMES: Final = 200
"""A set of more attributes is looked through anew each time."""
ERROR_TYPE: Final = "error.type"

INPUTS: Names = (
    "gen_ai.input.messages",
    "pydantic_ai.all_messages",
    "input.value",
    "traceloop.entity.input",
)
OUTPUTS: Names = (
    "final_result",
    "gen_ai.output.messages",
    "output.value",
    "traceloop.entity.output",
)
APPROVALS: Names = (
    "gen_ai.output.messages",
    "gen_ai.input.messages",
    "final_result",
    "pydantic_ai.all_messages",
)
"""Attributes that may tell of requests for approvals and of answers to them."""


class Shape:
    """The names that a set of attributes has, by what they say: in the order in which they count.

    Attributes:
        counted: Names of numbers of tokens, each with what it counts.
        totals: The same of what a run's calls used together.
        may_tell: Whether there may be requests for approvals.
        has_error: Whether the type of an error is named.
    """

    __slots__ = (
        "agent", "arguments", "call_id", "cost", "counted", "deferral", "entity", "has_error", "inputs", "kinds",
        "may_tell", "model", "outputs", "provider", "response_id", "result", "run_id", "session", "tool", "totals",
    )  # fmt: skip

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        def present(among: Names) -> Names:
            return tuple(name for name in among if name in attributes)

        self.kinds = tuple((name, kinds) for name, kinds in BY_ATTRIBUTE if name in attributes)
        self.run_id, self.session = present(names.RUN_ID), present(names.SESSION)
        self.agent, self.entity = present(names.AGENT), present(names.ENTITY + names.NODE)
        self.model, self.provider = present(names.MODEL), present(names.PROVIDER)
        self.response_id, self.cost = present(names.RESPONSE_ID), present(names.COST)
        self.tool, self.call_id = present(names.TOOL), present(names.CALL_ID)
        self.arguments, self.result = present(names.ARGUMENTS), present(names.RESULT)
        self.deferral = present(names.DEFERRAL)
        self.inputs, self.outputs = present(INPUTS), present(OUTPUTS)
        self.may_tell = bool(present(APPROVALS))
        self.has_error = ERROR_TYPE in attributes
        self.counted = tuple((name, what) for name, what in names.COUNTED if name in attributes)
        self.totals = tuple((name, what) for name, what in names.TOTALS if name in attributes)


_shapes: dict[tuple[str, ...], Shape] = {}


def shape_of(attributes: Mapping[str, Any]) -> Shape:
    """Return the shape of *attributes*."""
    key = tuple(attributes)
    shape = _shapes.get(key)
    if shape is None:
        shape = Shape(attributes)
        if len(key) <= MAX_NAMES:
            if len(_shapes) >= MAX_SHAPES:
                _shapes.clear()
            _shapes[key] = shape
    return shape
