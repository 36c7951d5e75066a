"""One question of the API: its parameters out of the address, its answer as JSON or as a stream."""

import itertools
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trailhouse.access import Principal, ReadAudit
from trailhouse.access.json_form import encoded, encoded_line
from trailhouse.access.operations import NothingFoundError, Operation, Values, rows_of
from trailhouse.access.parameters import values_of
from trailhouse.access.reading import FORBIDDEN_SCOPE, Reading, kind_of
from trailhouse.api.address import given_in
from trailhouse.api.door import PRINCIPAL, ROUTE
from trailhouse.api.openapi import path_of
from trailhouse.api.problem import Problem, ProblemError, problem_of
from trailhouse.api.readers import Readers
from trailhouse.query import AuditReader
from trailhouse.query.answer import LeftOut, Page
from trailhouse.schemas.errors import TrailhouseError

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
LINES_BYTES = 65_536
"""Lines go out in pieces of about so many bytes: each piece is a step between threads."""


class Endpoint:
    """Answers one question.

    Args:
        operation: What it answers.
        readers: Whom to ask.
        audit: Where it is written down who asked.
    """

    def __init__(self, operation: Operation, readers: Readers, audit: ReadAudit) -> None:
        self._operation = operation
        self._readers = readers
        self._audit = audit

    async def __call__(self, request: Request) -> Response:
        """Return the answer.

        Raises:
            ProblemError: There is none to give.
            TrailhouseError: Likewise; `problem_of` says what the client is told.
        """
        request.scope[ROUTE] = path_of(self._operation)
        principal: Principal = request.scope[PRINCIPAL]
        reading = Reading(self._audit, principal, self._operation.name, {})
        answer = await run_in_threadpool(self._ask, request, principal, reading)
        if isinstance(answer, bytes):
            return Response(answer, media_type=JSON)
        return StreamingResponse(stepped(answer), media_type=JSON_LINES)

    def _ask(
        self, request: Request, principal: Principal, reading: Reading
    ) -> bytes | Generator[bytes]:
        with reading.noted_if_it_fails():
            # What was asked is written down also where it is refused.
            reading.asked = given = given_in(request, self._operation)
            if self._operation.scope not in principal.scopes:
                raise ProblemError(
                    403, FORBIDDEN_SCOPE, f"this needs the scope {self._operation.scope}"
                )
            values = values_of(self._operation.parameters, given)
            values |= {"principal": principal.key, "own_session": None}
            reader = self._readers.of(principal)
            try:
                if self._operation.pages and _wants_lines(request.headers.get("accept", "")):
                    return self._opened(self._operation.pages(reader, values), reading)
                return self._answer(reader, values, reading)
            except NothingFoundError:
                reading.note(0, complete=True)
                raise _not_found() from None

    def _answer(self, reader: AuditReader, values: Values, reading: Reading) -> bytes:
        if (ask := self._operation.ask) is None:
            raise NothingFoundError
        answer = ask(reader, values)
        body = encoded(answer)
        reading.note(rows_of(answer), complete=bool(getattr(answer, "complete", True)))
        return body

    def _opened(self, pages: Iterator[Page[Any]], reading: Reading) -> Generator[bytes]:
        """Return the stream once it has begun: what is wrong by then can still be a status."""
        first = list(itertools.islice(pages, 1))
        reading.note(0, complete=None, stage="opened")
        return self._pieces(itertools.chain(first, pages), reading)

    def _pieces(self, pages: Iterator[Page[Any]], reading: Reading) -> Generator[bytes]:
        end = _End()
        piece = bytearray()
        try:
            for page in pages:
                for item in page.items:
                    piece += encoded_line(item)
                    end.rows += 1
                    if len(piece) >= LINES_BYTES:
                        yield bytes(piece)
                        piece.clear()
                end.take(page)
            end.failed = None
        except TrailhouseError as error:
            # The status has gone out: what is wrong can only be the last line.
            end.failed, end.problem = kind_of(error), problem_of(error)
        finally:
            reading.note(end.rows, complete=end.complete, stage="closed", failed=end.failed)
        yield bytes(piece) + encoded_line({"end": end.line()})


class _End:
    """What the last line of a stream says: what came, and what did not."""

    def __init__(self) -> None:
        self.rows = 0
        self.failed: str | None = "left by its reader"
        self.problem: Problem | None = None
        self._left_out: dict[str, LeftOut] = {}
        self._as_of: Mapping[str, int] = {}

    def take(self, page: Page[Any]) -> None:
        """Note what a page leaves out, but for what the next one holds."""
        self._as_of = self._as_of or page.as_of
        for each in page.left_out:
            if page.next is None or each.how_many is not None:
                self._left_out[each.what] = each

    @property
    def complete(self) -> bool:
        """Whether all came that was asked for."""
        return self.failed is None and not self._left_out

    def line(self) -> dict[str, object]:
        """Return the line."""
        made: dict[str, object] = {
            "complete": self.complete,
            "rows": self.rows,
            "left_out": tuple(self._left_out.values()),
            "as_of": self._as_of,
        }
        return made if self.problem is None else {**made, "problem": self.problem}


def _not_found() -> ProblemError:
    return ProblemError(
        404, "not-found", "there is nothing of this name, or it is not yours to read"
    )


async def stepped(pieces: Generator[bytes]) -> AsyncIterator[bytes]:
    """Yield *pieces*, each made in a thread of its own; what they hold is let go however it ends."""
    try:
        while (piece := await run_in_threadpool(next, pieces, None)) is not None:
            yield piece
    finally:
        # Whoever was asked may have left: what ends here must not be cut off by that.
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(pieces.close)


def _wants_lines(accept: str) -> bool:
    return any(
        each.partition(";")[0].strip().lower() in (JSON_LINES, "application/jsonl")
        for each in accept.split(",")
    )
