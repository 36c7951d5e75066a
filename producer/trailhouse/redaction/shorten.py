"""A record that grew over its limit by the markers in it: shortened, and said so, rather than refused."""

from __future__ import annotations

from typing import Any

from trailhouse.schemas.record import encode_sorted

LONG_CHARACTERS = 512
_NOTE_BYTES = 64


def note(size_bytes: int) -> str:
    """Return what stands where something of *size_bytes* was cut."""
    return f"[SHORTENED:{size_bytes} bytes]"


def shortened(fields: dict[str, Any], limit_bytes: int) -> bytes:
    """Return the record of *fields*, which is longer than *limit_bytes*, cut where it is longest until it fits.

    First the longest texts of `data` and `metadata` lose their ends, then their largest values go as a whole.
    """
    for _ in range(8):
        record = encode_sorted(fields)
        surplus = len(record) - limit_bytes
        if surplus <= 0:
            return record
        texts = _long_texts(fields)
        if not texts:
            break
        for container, at in texts:
            if surplus <= 0:
                break
            surplus -= _cut(container, at, surplus)
    return _without_largest(fields, limit_bytes)


def _long_texts(fields: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return where long texts stand, the longest first; what holds them is made a copy of, so that it may be changed."""
    found: list[tuple[Any, Any]] = []
    for name in ("data", "metadata"):
        fields[name] = _copied(fields[name], found)
    return sorted(found, key=lambda place: -len(place[0][place[1]]))


def _copied(value: Any, found: list[tuple[Any, Any]]) -> Any:
    if isinstance(value, dict):
        copy: Any = dict(value)
        items: Any = value.items()
    elif isinstance(value, list):
        copy, items = list(value), enumerate(value)
    else:
        return value
    for at, item in items:
        if isinstance(item, str):
            if len(item) > LONG_CHARACTERS:
                found.append((copy, at))
        elif isinstance(item, (dict, list)):
            copy[at] = _copied(item, found)
    return copy


def _cut(container: Any, at: Any, surplus: int) -> int:
    """Cut the text at that place by *surplus* bytes, if it has so many to lose; return how many it lost."""
    text: str = container[at]
    before = len(encode_sorted(text))
    kept = max(LONG_CHARACTERS // 2, len(text) - surplus - _NOTE_BYTES)
    container[at] = text[:kept] + note(len(text.encode()))
    return before - len(encode_sorted(container[at]))


def _without_largest(fields: dict[str, Any], limit_bytes: int) -> bytes:
    sizes = [
        (len(encode_sorted(value)), name, key)
        for name in ("data", "metadata")
        for key, value in fields[name].items()
        if key != "_redactions"
    ]
    surplus = len(encode_sorted(fields)) - limit_bytes
    fields |= {name: dict(fields[name]) for name in ("data", "metadata")}
    for size_bytes, name, key in sorted(sizes, reverse=True):
        said = note(size_bytes)
        if surplus <= 0 or size_bytes <= len(said):  # the rest is too small to lose anything
            break
        fields[name][key] = said
        surplus -= size_bytes - len(said) - 2
    record = encode_sorted(fields)
    if len(record) > limit_bytes:  # many keys with little in each
        for name in ("data", "metadata"):
            size_bytes = len(encode_sorted(fields[name]))
            counts = {key: value for key, value in fields[name].items() if key == "_redactions"}
            fields[name] = {"_shortened": note(size_bytes)} | (counts if name == "metadata" else {})
        record = encode_sorted(fields)
    return record
