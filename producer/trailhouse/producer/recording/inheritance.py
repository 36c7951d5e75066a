"""What a new run has from the run around it and from what is bound, and what of it is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from trailhouse.producer.context import checked
from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.unencodable import COUNT_KEY, marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.producer.context import Bound

FRAMEWORK_SESSION = "framework_session_id"
OF_THE_FAMILY = ("agent_id", "tenant_id", "actor", "correlation_id", "trace_id")
"""What a child has from its parent, unless it names its own: not who serves its models."""


class Parent(NamedTuple):
    """What a child takes over; `session_id` is None for a parent in no session that is known here."""

    run_id: str
    session_id: str | None
    fields: Mapping[str, Any]


def new_fields(
    named: Mapping[str, Any], parent: Parent | None, bound: Bound | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a new run's events, and what is to stand in its metadata.

    Args:
        named: What its opener says; None is nothing. Checked, or `marked`.
        parent: The run that it is a child of.
        bound: What is bound where it is opened, as far as it counts.
    """
    metadata = {}
    fields = {name: value for name, value in named.items() if value is not None}
    if parent is not None:
        fields.setdefault("parent_run_id", parent.run_id)
        if parent.session_id is not None:
            own = fields.get("session_id", parent.session_id)
            if own != parent.session_id:
                metadata[FRAMEWORK_SESSION] = own
            fields["session_id"] = parent.session_id
        for name in OF_THE_FAMILY:
            if (value := parent.fields.get(name)) is not None:
                fields.setdefault(name, value)
    if bound is None or bound.is_empty:
        return fields, metadata
    stamped = bound.stamp(EventDraft(**fields)).given()
    if parent is None and "parent_run_id" not in fields:
        stamped.pop("parent_run_id", None)  # its opener says that it has none
    if (
        parent is not None
        and "provider" not in fields
        and stamped.get("provider") == parent.fields.get("provider")
    ):
        stamped.pop("provider", None)  # the parent's, not one that was bound for the child
    return stamped, metadata


def acceptable(
    named: Mapping[str, Any], *, strict: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return *named* fields that follow the rules of an event, and what is to stand in the metadata.

    What breaks a rule is replaced by a marker; a session that cannot be one is taken as not given.

    Raises:
        InvalidEventError: A field breaks a rule; with *strict* alone. Permanent.
    """
    try:
        return checked(named), {}
    except InvalidEventError:
        if strict:
            raise
    kept = marked(named)
    metadata = {COUNT_KEY: kept["metadata"][COUNT_KEY]} if COUNT_KEY in kept["metadata"] else {}
    fields = {name: kept[name] for name in named if kept.get(name) is not None}
    if not isinstance(fields.get("session_id", ""), str):
        del fields["session_id"]
        metadata[COUNT_KEY] = metadata.get(COUNT_KEY, 0) + 1
    return checked(fields), metadata
