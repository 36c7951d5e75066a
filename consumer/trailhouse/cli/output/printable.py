"""Text for a terminal: safe whoever wrote it, and counts with their noun."""


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal written as an escape.

    Control characters (C0, DEL, C1), bidirectional overrides, zero-width and unassigned characters
    come out as ``\\x1b`` or ``\\u202e``; a line break as ``\\n``. What is printable stays.
    """
    if text.isprintable():
        return text
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode("ascii")
        for part in text
    )


def printable_json(text: str) -> str:
    """Return the JSON *text* with everything that could steer a terminal as a ``\\u`` escape.

    It stays JSON and means the same. Outside of strings JSON knows only blanks and line breaks.
    """
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else _json_escape(part) for part in text)


def _json_escape(character: str) -> str:
    if character in "\n\r\t":  # raw, they stand between values alone; a return would overwrite
        return "\n" if character == "\n" else " "
    # JSON escapes in units of UTF-16: beyond the first plane it takes two.
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def counted(number: int, noun: str) -> str:
    """Return *number* with its *noun*, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
