"""An event out of others' hands: what cannot be written is marked in its place, and the event is kept.

`AuditLogger.log` refuses a value that has no plain form, since its caller can mend it. Where somebody else's
code calls us (telemetry, adapters) nobody can, and a refused event would be a hole in the log. There a value
becomes ``[UNENCODABLE:…]``, which names its type, and ``metadata._replaced`` counts the markers.
"""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, cast

from trailhouse.schemas.draft import EventDraft
from trailhouse.schemas.event import MAX_ID_CHARACTERS
from trailhouse.schemas.event_type import is_type_name
from trailhouse.schemas.json_form import is_a, is_text, json_object, kind_of, utc
from trailhouse.schemas.uuid7 import is_uuid

COUNT_KEY = "_replaced"
TYPE_KEY = "_type"
UNKNOWN_TYPE = "unknown_event"
_IDS = (
    "session_id", "tenant_id", "run_id", "parent_run_id", "agent_id", "provider", "correlation_id", "trace_id",
    "span_id",
)  # fmt: skip
_MAX_INTEGER_BITS = 14_000
"""An integer of so many bits has fewer digits than Python converts (4,300)."""
_MAX_NAME_CHARACTERS = 80
_DIGEST_DIGITS = 32


def marked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return *fields* of an event, with a marker wherever a value breaks a rule; None is not given.

    Only `session_id` has no placeholder where it is missing or is not text, a number or a UUID: an event of no session
    cannot be kept, and its maker refuses it. An id that is too long is cut and ends in a digest of the whole; a
    type that is no type becomes ``unknown_event``, its name in ``metadata._type``; a time or an event id that is
    none is left out, for the maker to stamp.
    """
    marker = _Marker()
    kept = {name: value for name, value in fields.items() if value is not None}
    metadata = marker.fields(kept.get("metadata"), "metadata")
    for name in _IDS:
        if name in kept:
            kept[name] = marker.identity(name, kept[name])
    if not (is_text(kept.get("type")) and is_type_name(str.__str__(kept["type"]))):
        metadata[TYPE_KEY] = marker.text_of(kept.get("type"))
        kept["type"] = UNKNOWN_TYPE
    if "occurred_at" in kept and not _is_time(kept["occurred_at"]):
        del kept["occurred_at"]
        marker.replaced += 1
    if "event_id" in kept and not is_uuid(_text_of(kept["event_id"])):
        del kept["event_id"]
        marker.replaced += 1
    if "actor" in kept:
        kept["actor"] = marker.actor(kept["actor"])
    kept["data"] = marker.fields(kept.get("data"), "data")
    if marker.replaced:
        metadata[COUNT_KEY] = marker.replaced
    return kept | {"metadata": metadata}


def mark_unencodable(draft: EventDraft) -> EventDraft:
    """Return *draft* with a marker wherever a value breaks a rule: `marked`, as a processor."""
    return EventDraft(**marked(draft.given()))


class _Marker:
    """Puts a marker in the place of what has no plain form, and counts."""

    def __init__(self) -> None:
        self.replaced = 0

    def __call__(self, field: str, rule: str, what: str) -> str:
        self.replaced += 1
        return f"[UNENCODABLE:{_valid(what)[:_MAX_NAME_CHARACTERS]}]"

    def fields(self, value: object, field: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not is_a(value, Mapping):
            self.replaced += 1  # an object it must be: what was given instead stands in one
            value = {"value": value}
        plain = cast(object, json_object(value, field, self))
        if not isinstance(plain, dict):  # a mapping that cannot be read has a marker in its place
            plain = {"value": plain}
        encodable: dict[str, Any] = self._encodable(plain)
        return encodable

    def _encodable(self, value: Any) -> Any:
        """Return plain *value* without what JSON in UTF-8 cannot carry."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(key): self._encodable(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._encodable(item) for item in value]
        if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
            return self("", "", f"int of {value.bit_length()} bits")
        return value

    def _text(self, text: str) -> str:
        valid = _valid(text)
        self.replaced += valid != text
        return valid

    def text_of(self, value: object) -> str:
        """Return text that tells what *value* is."""
        self.replaced += 1
        return _valid(str.__str__(value)) if is_text(value) else kind_of(value)

    def identity(self, name: str, value: object) -> Any:
        if type(value) is int or issubclass(type(value), uuid.UUID):
            self.replaced += type(value) is int
            value = _text_of(self._encodable(value))
        if not is_text(value):
            return value if name == "session_id" else self(name, "", kind_of(value))
        text = self._text(str.__str__(value))
        if len(text) > MAX_ID_CHARACTERS:
            self.replaced += 1
            digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]
            return f"{text[: MAX_ID_CHARACTERS - _DIGEST_DIGITS - 1]}#{digest}"
        return text or None

    def actor(self, value: object) -> Any:
        try:
            if isinstance(value, Mapping):
                kind, name = value.get("type"), value.get("id")
            else:
                kind, name = getattr(value, "type", None), getattr(value, "id", None)
        except Exception:  # noqa: BLE001 - foreign code may raise anything
            kind = name = None
        if is_text(kind) and is_text(name):
            return {"type": self._text(str.__str__(kind)), "id": self._text(str.__str__(name))}
        self.replaced += 1
        return None


def _valid(text: str) -> str:
    """Return *text* with each lone surrogate as an escape, such as ``\\udc80``."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        return ""


def _is_time(moment: object) -> bool:
    try:
        utc(moment, "occurred_at")
    except Exception:  # noqa: BLE001 - a foreign time zone may raise anything
        return False
    return True
