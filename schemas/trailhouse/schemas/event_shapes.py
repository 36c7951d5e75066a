"""What `data` should hold, type by type: what it lacks is said in the metadata, and the event is kept.

A rule here is a convention that queries and views stand on; see `trailhouse.schemas.event_data`. An event that breaks
one is as valid as any: ``metadata._validation_warnings`` says what is missing or of another kind, and never a value.
"""

from typing import Any, NamedTuple

from msgspec.structs import replace

from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.json_form import kind_of

WARNINGS_KEY = "_validation_warnings"
_TOKEN_KEYS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
)  # fmt: skip


class Shape(NamedTuple):
    """What the data of a type should hold: texts and counts that it needs, and counts that it may have."""

    texts: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    optional_counts: tuple[str, ...] = ()


_TOOL = Shape(texts=("tool_name",))
_MODEL_CALL = Shape(optional_counts=_TOKEN_KEYS)
SHAPES: dict[str, Shape] = {
    str(name): shape
    for name, shape in {
        EventType.TOOL_CALL_STARTED: _TOOL,
        EventType.TOOL_CALL_COMPLETED: _TOOL,
        EventType.TOOL_CALL_FAILED: _TOOL,
        EventType.TOOL_APPROVAL_REQUESTED: Shape(texts=("tool_name", "policy_name")),
        EventType.TOOL_APPROVAL_GRANTED: _TOOL,
        EventType.TOOL_APPROVAL_DENIED: _TOOL,
        EventType.TOKEN_USAGE_UPDATED: Shape(
            counts=("input_tokens", "output_tokens"), optional_counts=_TOKEN_KEYS[2:]
        ),
        EventType.MODEL_CALL_COMPLETED: _MODEL_CALL,
        EventType.MODEL_CALL_FAILED: _MODEL_CALL,
        EventType.RUN_COMPLETED: Shape(texts=("stop_reason",)),
        EventType.ERROR_OCCURRED: Shape(texts=("error_message",)),
        EventType.POLICY_VIOLATION: Shape(texts=("policy", "kind")),
    }.items()
}
"""By type; another type has no rule."""
_shape_of = SHAPES.get


def warn_of_shape(draft: EventDraft) -> EventDraft:
    """Return *draft* with what its data lacks in its metadata; a processor, for 0.1 µs where there is no rule."""
    try:
        shape = _shape_of(draft.type)
    except TypeError:  # no type can be looked up that has no hash; the event refuses it
        return draft
    if shape is None:
        return draft
    data = draft.data
    if type(data) is dict:
        if warnings := shape_warnings(shape, data):
            return _warned(draft, warnings)
    elif data is None:
        return _warned(draft, shape_warnings(shape, {}))
    return draft  # a mapping of another kind is read once, when its plain form is made


def shape_warnings(shape: Shape, data: dict[str, Any]) -> list[str]:
    """Return what *data* lacks, key by key; nothing when it holds what it should."""
    given = data.get
    warnings = [
        f"data.{key}: {_found(value, 'a string')}"
        for key in shape.texts
        if not isinstance(value := given(key), str)
    ]
    is_known = given("usage_missing") is not True
    for key in shape.counts:
        value = given(key)
        if not (type(value) is int and value >= 0) and (value is not None or is_known):
            warnings.append(f"data.{key}: {_found(value, 'an integer from 0')}")
    for key in shape.optional_counts:
        value = given(key)
        if value is not None and not (type(value) is int and value >= 0):
            warnings.append(f"data.{key}: {_found(value, 'an integer from 0')}")
    return warnings


def _found(value: object, wanted: str) -> str:
    return "is missing" if value is None else f"should be {wanted}, is {kind_of(value)}"


def _warned(draft: EventDraft, warnings: list[str]) -> EventDraft:
    metadata = draft.metadata
    if not warnings or not (metadata is None or type(metadata) is dict):
        return draft
    said = [] if metadata is None else metadata.get(WARNINGS_KEY, [])
    said = said if type(said) is list else [said]
    warned = {**(metadata or {}), WARNINGS_KEY: [*said, *warnings]}
    return replace(
        draft, metadata=warned
    )  # another: its maker may have it marked, and looked at again
