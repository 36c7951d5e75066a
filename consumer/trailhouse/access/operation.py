"""What an operation is: its parameters, its answer, and the reader's method that gives it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from trailhouse.access.parameters import Parameter
from trailhouse.access.principal import Scope
from trailhouse.proof.standing import Standing
from trailhouse.query import AuditReader
from trailhouse.query.answer import Answer, Page
from trailhouse.query.filtering.grammar import as_filter
from trailhouse.query.filtering.search_filter import Condition, SearchFilter
from trailhouse.query.sql.statement import SqlAnswer

Values = Mapping[str, Any]
"""A value for each parameter, and who asks: `principal`, and `own_session` where one alone is open to them."""


class NothingFoundError(Exception):
    """Nothing of this id is there for this reader; that another tenant has it is not to be told apart."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation.

    Attributes:
        name: Its name, at each door.
        title: What it is, in a few words.
        meaning: What is answered.
        parameters: What it takes.
        answer: The type of what `ask` returns.
        ask: Asks a reader; gets a value for each parameter. None where it is a stream alone, and no tool.
        scope: What a principal needs for it.
        path: Where it is asked in the HTTP API, with its parameters in braces; its name if empty.
        pages: Yields all that was asked for, page by page, for JSON lines; None where there is one answer.
        is_stream: Whether it goes on without end.
        within_session: Whether it can be held to one session: `values["own_session"]`, or its parameter `session`.
        can_be_missing: Whether what is asked for may not be there at all: 404, and not an empty answer.
    """

    name: str
    title: str
    meaning: str
    parameters: tuple[Parameter, ...]
    answer: Any
    ask: Callable[[AuditReader, Values], Any] | None
    scope: Scope = "read"
    path: str = ""
    pages: Callable[[AuditReader, Values], Iterator[Page[Any]]] | None = None
    is_stream: bool = False
    within_session: bool = False
    can_be_missing: bool = False


SESSION = Parameter("session", "text", "The session.", is_required=True, example="airline-07")
FILTER = Parameter(
    "q",
    "filter",
    'Which ones: type:(run_failed OR run_timeout) -agent:x cost:>0.5 "words". All must hold.',
    example="type:run_failed",
)
STANDING = Parameter(
    "standing", "choices", "Only events of this standing; may be repeated.",
    default=(), choices=tuple(map(str, Standing)), most=len(Standing),
)  # fmt: skip
SINCE = Parameter("since", "time", "Only what occurred then or later.")
UNTIL = Parameter("until", "time", "Only what occurred then or earlier.")
ZONE = Parameter(
    "zone", "text", "The time zone whose hours, days and months are meant.", default="UTC", example="Europe/Berlin"
)  # fmt: skip
CURSOR = Parameter("cursor", "cursor", "`next` of the page before, of the same question.")


def limit(default: int, most: int) -> Parameter:
    """Return the parameter that says how many at most."""
    return Parameter("limit", "count", "At most so many.", default=default, least=1, most=most)


def wanted(values: Values) -> SearchFilter:
    """Return the filter of `q`, `since` and `until`, held to the one session that is open.

    Raises:
        QueryError: It is not understood. Permanent.
    """
    own: str | None = values["own_session"]
    more = [] if own is None else [Condition(field="session", values=(own,))]
    asked = as_filter(values["q"], values.get("cursor"))
    return asked.narrowed(*more, since=values["since"], until=values["until"])


def walked(
    ask: Callable[[AuditReader, Values], Page[Any]],
) -> Callable[[AuditReader, Values], Iterator[Page[Any]]]:
    """Return what yields every page that *ask* gives, from the one that was asked for to the last."""

    def pages(reader: AuditReader, values: Values) -> Iterator[Page[Any]]:
        page = ask(reader, values)
        while page.next is not None:
            yield page
            page = ask(reader, {**values, "cursor": page.next})
        yield page

    return pages


def rows_of(answer: object) -> int:
    """Return how many rows an answer has; one that is no list is one."""
    match answer:
        case Page(items=rows) | SqlAnswer(rows=rows) | Answer(value=list() | tuple() as rows):
            return len(rows)
        case _:
            return 1
