"""Whether an answer is whole, what it left out and how to go on: lines on standard error."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from trailhouse.cli.output.console import tell
from trailhouse.cli.output.printable import counted

if TYPE_CHECKING:
    from trailhouse.query import LeftOut


Within = tuple[dt.datetime | None, dt.datetime | None]
NO_TIME: Within = (None, None)


class Told(Protocol):
    """An answer that says what it left out."""

    @property
    def complete(self) -> bool: ...
    @property
    def left_out(self) -> "Sequence[LeftOut]": ...


def tell_whole(answer: Told, shown: int, noun: str, within: Within = NO_TIME) -> None:
    """Say how much is shown, whether that is all, what is missing and why, and how to go on.

    Args:
        answer: What was answered.
        shown: How much of it is shown.
        noun: What one of it is.
        within: Since and until when was asked: the next page is of the same question, and "2h" is another one then.
    """
    for line in whole_lines(answer, shown, noun, within):
        tell(line)


def whole_lines(answer: Told, shown: int, noun: str, within: Within = NO_TIME) -> Iterator[str]:
    """Yield what `tell_whole` says."""
    next_page = getattr(answer, "next", None)
    is_all = answer.complete and next_page is None
    yield f"{counted(shown, noun)}; {'complete' if is_all else 'not all'}"
    for each in answer.left_out:
        number = "" if each.how_many is None else f"{each.how_many} "
        yield f"left out: {number}{each.what}: {each.why}"
    if (reached := getattr(answer, "searched_back_to", None)) is not None and not answer.complete:
        yield f"searched as far as {_time(reached)}"
    if next_page is not None:
        times = zip(("--since", "--until"), within, strict=True)
        given = "".join(f"{name} {_time(at)} " for name, at in times if at is not None)
        yield f"next page: the same command with {given}--cursor {next_page}"


def _time(moment: dt.datetime) -> str:
    from trailhouse.schemas.json_form import rfc3339

    return rfc3339(moment.astimezone(dt.UTC))
