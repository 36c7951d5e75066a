"""The questions that doors pass on: for each its parameters, its answer, and the reader's method."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from trailhouse.access.parameters import Parameter
from trailhouse.access.principal import Scope
from trailhouse.query import AuditReader
from trailhouse.query.answer import LeftOut, Page
from trailhouse.query.records import AlteredEvent
from trailhouse.schemas import AuditEvent

Values = Mapping[str, Any]
LOG_EVENTS = 1_000
MOST_LOG_EVENTS = 10_000


class NothingFoundError(Exception):
    """Nothing of this id is there for this reader; that another tenant has it is not to be told apart."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One question.

    Attributes:
        name: Its name, at each door.
        title: What it is, in a few words.
        meaning: What is answered.
        parameters: What it takes.
        answer: The type of what `ask` returns.
        ask: Asks a reader; gets a value for each parameter.
        scope: What a principal needs for it.
        path: Where it is asked in the HTTP API, with its parameters in braces; its name if empty.
        lines: Yields all that was asked for, item by item, for JSON lines; None where there is one answer.
        is_stream: Whether it goes on without end; it is no tool then, and `ask` is None.
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
    lines: Callable[[AuditReader, Values], Iterator[Any]] | None = None
    is_stream: bool = False
    within_session: bool = False
    can_be_missing: bool = False


SESSION = Parameter("session", "text", "The session.", is_required=True, example="airline-07")
SINCE = Parameter("since", "time", "Only what occurred then or later.")
UNTIL = Parameter("until", "time", "Only what occurred then or earlier.")


def _log(reader: AuditReader, values: Values) -> Page[AuditEvent | AlteredEvent]:
    limit: int = values["limit"]
    found: Sequence[AuditEvent | AlteredEvent] = reader.get_audit_log(
        values["session"],
        run_id=values["run"],
        type=values["type"],
        since=values["since"],
        until=values["until"],
        limit=limit + 1,
        on_altered="mark",
    )
    if not found and reader.outline(values["session"]).events == 0:
        raise NothingFoundError
    left_out = (
        (LeftOut(what="later events of the session", why=f"the limit of {limit} was reached"),)
        if len(found) > limit
        else ()
    )
    return Page(items=tuple(found[:limit]), complete=not left_out, left_out=left_out)


def _log_lines(reader: AuditReader, values: Values) -> Iterator[AuditEvent | AlteredEvent]:
    yield from reader.get_audit_log(
        values["session"],
        run_id=values["run"],
        type=values["type"],
        since=values["since"],
        until=values["until"],
        on_altered="mark",
    )


LOG = Operation(
    name="log",
    title="The log of a session",
    meaning="The events of one session in the order in which they were appended, each once, as they were emitted.",
    parameters=(
        SESSION,
        Parameter("run", "text", "Only events of this run."),
        Parameter("type", "texts", "Only events of this type; may be repeated.", example="run_failed"),
        SINCE,
        UNTIL,
        Parameter(
            "limit", "count", "At most so many, the first ones.",
            default=LOG_EVENTS, least=1, most=MOST_LOG_EVENTS,
        ),
    ),
    answer=Page[AuditEvent | AlteredEvent],
    ask=_log,
    lines=_log_lines,
    within_session=True,
    can_be_missing=True,
)  # fmt: skip

FOLLOW = Operation(
    name="follow",
    title="What is stored from now on",
    meaning="Events as they are stored, each once, in append order within a session, without end.",
    parameters=(
        Parameter("q", "filter", "Which events; on fields, not on words.", example="type:run_failed"),
        Parameter("token", "cursor", "Goes on behind the event that came with it; as the header Last-Event-ID."),
        Parameter("from_start", "flag", "Begin with the first event there is.", default=False),
    ),
    answer=AuditEvent | AlteredEvent,
    ask=None,
    is_stream=True,
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (LOG, FOLLOW)


def rows_of(answer: object) -> int:
    """Return how many rows an answer has; one that is no list is one."""
    items = getattr(answer, "items", answer)
    return len(items) if isinstance(items, (tuple, list)) else 1
