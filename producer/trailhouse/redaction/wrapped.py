"""A token that a terminal, a mail or a text box has broken into lines: where it ends."""

import re

LEAST_LINE_BYTES = 32
"""Nobody breaks lines at fewer columns."""
MOST_LINES = 16
_NEXT = re.compile(
    rb"""(?:\r?\n|\\n)([A-Za-z0-9_\-+/.]{3,512}={0,2})(?=[\s"'`<>(),;:!?\]}\\\x80-\xff]|\Z)"""
)
_DIGITS = re.compile(rb"[0-9]")
_MIXED = re.compile(rb"[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Z][a-z]{0,3}[A-Z]")


def end_of_wrapped(text: bytes, begin: int, end: int) -> int:
    """Return where the token ends that was found between *begin* and *end* of *text*: in a later line, if it goes on."""
    if text[end : end + 1] not in (b"\r", b"\n", b"\\"):
        return end
    line_bytes = end - (text.rfind(b"\n", 0, begin) + 1)
    if line_bytes < LEAST_LINE_BYTES:
        return end
    for _ in range(MOST_LINES):
        found = _NEXT.match(text, end)
        if found is None or len(found[1]) > line_bytes or not _is_piece(found[1]):
            break
        end = found.end()
        if len(found[1]) < line_bytes:
            break
    return end


def _is_piece(run: bytes) -> bool:
    """Tell whether *run* is more likely a piece of a token than a word, a name or a number."""
    digits = len(_DIGITS.findall(run))
    return (digits >= 2 and digits < len(run)) or _MIXED.search(run) is not None
