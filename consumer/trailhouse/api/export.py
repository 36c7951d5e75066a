"""Records as a file: whatever a filter finds as JSON lines, to the byte, with an end that says whether it is whole."""

import hashlib
from collections.abc import Callable, Generator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trailhouse.access import Principal, ReadAudit
from trailhouse.access.json_form import encoded_line
from trailhouse.access.operation import wanted
from trailhouse.access.operations import EXPORT
from trailhouse.access.parameters import values_of
from trailhouse.access.reading import FORBIDDEN_SCOPE, Reading, kind_of
from trailhouse.api.address import given_in
from trailhouse.api.asked import JSON_LINES, stepped
from trailhouse.api.door import PRINCIPAL, ROUTE, STILL_GOOD
from trailhouse.api.openapi import path_of
from trailhouse.api.problem import Problem, ProblemError, problem, problem_of
from trailhouse.api.readers import Readers
from trailhouse.query import Manifest
from trailhouse.schemas.errors import TrailhouseError

Pieces = Generator[bytes, None, Manifest]


class ExportLines:
    """Answers `export`, in bounded memory: what was sent is let go.

    Args:
        readers: Whom to ask.
        audit: Where it is written down who exports.
    """

    def __init__(self, readers: Readers, audit: ReadAudit) -> None:
        self._readers = readers
        self._audit = audit

    async def __call__(self, request: Request) -> Response:
        """Return the stream.

        Raises:
            ProblemError: The principal may not export.
            TrailhouseError: A parameter is wrong (permanent), or ClickHouse is away (retriable).
        """
        request.scope[ROUTE] = path_of(EXPORT)
        principal: Principal = request.scope[PRINCIPAL]
        reading = Reading(self._audit, principal, EXPORT.name, {})
        pieces = await run_in_threadpool(self._opened, request, principal, reading)
        return StreamingResponse(stepped(pieces), media_type=JSON_LINES)

    def _opened(self, request: Request, principal: Principal, reading: Reading) -> Generator[bytes]:
        with reading.noted_if_it_fails():
            reading.asked = given = given_in(request, EXPORT)
            if EXPORT.scope not in principal.scopes:
                raise ProblemError(403, FORBIDDEN_SCOPE, f"this needs the scope {EXPORT.scope}")
            values = values_of(EXPORT.parameters, given) | {"own_session": None}
            pieces = self._readers.of(principal).export_pieces(wanted(values))
            first = next(pieces)  # what is wrong by then can still be a status
            reading.note(0, complete=None, stage="opened")
        return _sent(first, pieces, reading, request.scope[STILL_GOOD])


def _sent(
    first: bytes, pieces: Pieces, reading: Reading, still_good: Callable[[], bool]
) -> Generator[bytes]:
    end = _End(first)
    try:
        yield first
        while still_good() and (piece := end.next(pieces)) is not None:
            end.take(piece)
            yield piece
        if not end.is_over:
            end.failed, end.problem = "bad-token", problem(401, "bad-token", "the token has ended")
        else:
            end.failed = None
    except TrailhouseError as error:
        # The status has gone out: what is wrong can only be the last line.
        end.failed, end.problem = kind_of(error), problem_of(error)
    finally:
        pieces.close()
        reading.note(end.rows, complete=end.complete, stage="closed", failed=end.failed)
    yield end.line()


class _End:
    """What the last line says: what came, its hash, and whether that is all."""

    def __init__(self, first: bytes) -> None:
        self.rows = 0
        self.failed: str | None = "left by its reader"
        self.problem: Problem | None = None
        self._manifest: Manifest | None = None
        self._digest = hashlib.sha256()
        self._is_mid_line = False
        self.take(first)

    def next(self, pieces: Pieces) -> bytes | None:
        """Return the next piece; None after the last."""
        try:
            return next(pieces)
        except StopIteration as end:
            self._manifest = end.value
            return None

    def take(self, piece: bytes) -> None:
        """Count what goes out."""
        self.rows += piece.count(b"\n")
        self._digest.update(piece)
        self._is_mid_line = not piece.endswith(b"\n") if piece else self._is_mid_line

    @property
    def is_over(self) -> bool:
        """Whether the last piece has come."""
        return self._manifest is not None

    @property
    def complete(self) -> bool:
        """Whether all came that was asked for: no row was altered in ClickHouse, and nothing cut it off."""
        return self.failed is None and self._manifest is not None and self._manifest.altered == 0

    def line(self) -> bytes:
        """Return the line; behind a record that was cut off it begins anew."""
        said: dict[str, Any] = {
            "complete": self.complete,
            "rows": self.rows,
            "sha256": self._digest.hexdigest(),
        }
        if self._manifest is not None:
            said |= {
                "altered": self._manifest.altered,
                "erased": self._manifest.erased,
                "as_of": self._manifest.as_of,
            }
        if self.problem is not None:
            said["problem"] = self.problem
        return (b"\n" if self._is_mid_line else b"") + encoded_line({"end": said})
