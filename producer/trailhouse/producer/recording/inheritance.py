"""What a new run has from the run around it and from what is bound, and what of it is its own."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from trailhouse.producer.context import checked
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.event import MAX_ID_CHARACTERS
from trailhouse.schemas.unencodable import COUNT_KEY, marked

if TYPE_CHECKING:
    from trailhouse.producer.context import Bound

FRAMEWORK_SESSION = "framework_session_id"
OF_THE_FAMILY = ("agent_id", "tenant_id", "actor", "correlation_id", "trace_id")
"""What a child has from its parent, unless it names its own: not who serves its models."""


_ids = attrgetter(
    "session_id", "run_id", "parent_run_id", "agent_id", "tenant_id", "provider", "correlation_id", "trace_id",
    "span_id",
)  # fmt: skip


class Parent(NamedTuple):
    """What a child takes over; `session_id` is None for a parent in no session that is known here."""

    run_id: str
    session_id: str | None
    fields: EventDraft


def inherit(fields: EventDraft, parent: Parent | None, bound: Bound) -> dict[str, Any] | None:
    """Fill in what a new run's events have from others; return what is to stand in the run's metadata, if anything.

    Args:
        fields: What its opener says. Checked, or `marked`.
        parent: The run that it is a child of.
        bound: What is bound where it is opened, as far as it counts.
    """
    own_parent, provider, metadata = fields.parent_run_id, fields.provider, None
    if parent is not None:
        metadata = _take_over(fields, parent)
    if bound.is_empty:
        return metadata
    bound.stamp(fields)
    if parent is None and own_parent is None:
        fields.parent_run_id = None  # its opener says that it has none
    if parent is not None and provider is None and fields.provider == parent.fields.provider:
        fields.provider = None  # the parent's, not one that was bound for the child
    return metadata


def _take_over(fields: EventDraft, parent: Parent) -> dict[str, Any] | None:
    metadata = None
    if fields.parent_run_id is None:
        fields.parent_run_id = parent.run_id
    if parent.session_id is not None:
        if fields.session_id not in (None, parent.session_id):
            metadata = {FRAMEWORK_SESSION: fields.session_id}
        fields.session_id = parent.session_id
    for name in OF_THE_FAMILY:
        if getattr(fields, name) is None:
            setattr(fields, name, getattr(parent.fields, name))
    return metadata


def acceptable(
    fields: EventDraft, *, strict: bool = False
) -> tuple[EventDraft, dict[str, Any] | None]:
    """Return *fields* that follow the rules of an event, and what is to stand in the metadata, if anything.

    What breaks a rule is replaced by a marker; a session that cannot be one is taken as not given.

    Raises:
        InvalidEventError: A field breaks a rule; with *strict* alone. Permanent.
    """
    if fields.actor is None:
        for text in _ids(fields):
            if text is not None and (
                type(text) is not str or not 0 < len(text) <= MAX_ID_CHARACTERS
            ):
                break
        else:
            return fields, None
    named = fields.given()
    try:
        return EventDraft(**checked(named)), None
    except InvalidEventError:
        if strict:
            raise
    kept = marked(named)
    metadata = {COUNT_KEY: kept["metadata"][COUNT_KEY]} if COUNT_KEY in kept["metadata"] else {}
    known = {name: kept[name] for name in named if kept.get(name) is not None}
    if not isinstance(known.get("session_id", ""), str):
        del known["session_id"]
        metadata[COUNT_KEY] = metadata.get(COUNT_KEY, 0) + 1
    return EventDraft(**checked(known)), metadata
