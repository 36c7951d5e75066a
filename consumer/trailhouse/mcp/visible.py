"""JSON for a model to read: what cannot be seen is written out, so that nothing is smuggled past a person. Pure."""

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
"""Control and format characters, such as those that turn the direction of text or that only machines read."""

_DELETE = "\x7f"


def visible(json: str) -> str:
    """Return *json*, which has no such character outside of its strings, with each unseen one as an escape."""
    if json.isascii() and _DELETE not in json:
        return json
    return "".join(_escaped(each) if _is_unseen(each) else each for each in json)


def _is_unseen(character: str) -> bool:
    # What JSON leaves as it is of ASCII can be seen, but for one.
    if character.isascii():
        return character == _DELETE
    return unicodedata.category(character) in _UNSEEN


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
