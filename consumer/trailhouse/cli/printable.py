"""Text for a terminal: safe whoever wrote it, and counts with their noun."""


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal written as an escape.

    Control characters, bidirectional overrides and unassigned characters come out as ``\\x1b`` or
    ``\\u202e``; a line break as ``\\n``. What is printable stays.
    """
    if text.isprintable():
        return text
    return "".join(
        part if part.isprintable() else part.encode("unicode_escape").decode("ascii")
        for part in text
    )


def counted(number: int, noun: str) -> str:
    """Return *number* with its *noun*, in the plural unless it is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
