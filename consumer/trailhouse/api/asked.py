"""One question of the API: its parameters out of the address, its answer as JSON or as a stream."""

import itertools
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trailhouse.access import Principal, Read, ReadAudit
from trailhouse.access.json_form import encoded, encoded_line
from trailhouse.access.operations import NothingFoundError, Operation, Values, rows_of
from trailhouse.access.parameters import values_of
from trailhouse.access.read_audit import Stage
from trailhouse.api.address import given_in
from trailhouse.api.door import PRINCIPAL, ROUTE
from trailhouse.api.openapi import path_of
from trailhouse.api.problem import ProblemError, problem_of
from trailhouse.api.readers import Readers
from trailhouse.query import AuditReader
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
        if self._operation.scope not in principal.scopes:
            raise ProblemError(
                403, "forbidden-scope", f"this needs the scope {self._operation.scope}"
            )
        given = given_in(request, self._operation)
        values = values_of(self._operation.parameters, given)
        values |= {"principal": principal.key, "own_session": None}
        reader = self._readers.of(principal)
        if self._operation.lines and _wants_lines(request.headers.get("accept", "")):
            items = self._operation.lines(reader, values)
            pieces = await run_in_threadpool(self._opened, principal, items, given)
            return StreamingResponse(_stepped(pieces), media_type=JSON_LINES)
        body = await run_in_threadpool(self._answer, principal, reader, values, given)
        return Response(body, media_type=JSON)

    def _answer(
        self, principal: Principal, reader: AuditReader, values: Values, given: Mapping[str, object]
    ) -> bytes:
        started = time.monotonic()
        if (ask := self._operation.ask) is None:
            raise NothingFoundError
        try:
            answer = ask(reader, values)
        except NothingFoundError:
            self._note(principal, given, started, rows=0, complete=True)
            raise ProblemError(
                404, "not-found", "there is nothing of this name, or it is not yours to read"
            ) from None
        self._note(
            principal, given, started,
            rows=rows_of(answer), complete=bool(getattr(answer, "complete", True)),
        )  # fmt: skip
        return encoded(answer)

    def _opened(
        self, principal: Principal, items: Iterator[object], given: Mapping[str, object]
    ) -> Generator[bytes]:
        """Return the stream once it has begun: what is wrong by then can still be a status."""
        started = time.monotonic()
        first = list(itertools.islice(items, 1))
        self._note(principal, given, started, rows=0, complete=None, stage="opened")
        return self._pieces(principal, itertools.chain(first, items), given, started)

    def _pieces(
        self,
        principal: Principal,
        items: Iterator[object],
        given: Mapping[str, object],
        started: float,
    ) -> Generator[bytes]:
        rows, piece = 0, bytearray()
        failed: str | None = "left by its reader"
        try:
            for item in items:
                piece += encoded_line(item)
                rows += 1
                if len(piece) >= LINES_BYTES:
                    yield bytes(piece)
                    piece.clear()
            failed = None
            yield bytes(piece) + encoded_line({"end": {"complete": True, "rows": rows}})
        except TrailhouseError as error:
            # The status has gone out: what is wrong can only be the last line.
            failed = type(error).__name__
            end = {"complete": False, "rows": rows, "problem": problem_of(error)}
            yield bytes(piece) + encoded_line({"end": end})
        finally:
            self._note(
                principal, given, started,
                rows=rows, complete=failed is None, stage="closed", failed=failed,
            )  # fmt: skip

    def _note(
        self,
        principal: Principal,
        given: Mapping[str, object],
        started: float,
        *,
        rows: int,
        complete: bool | None,
        stage: Stage = "page",
        failed: str | None = None,
    ) -> None:
        session = given.get("session")
        read = Read(
            operation=self._operation.name,
            asked=given,
            rows=rows,
            complete=complete,
            duration_seconds=time.monotonic() - started,
            session_id=session if isinstance(session, str) else None,
            stage=stage,
            failed=failed,
        )
        self._audit.note(principal, read)


async def _stepped(pieces: Generator[bytes]) -> AsyncIterator[bytes]:
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
