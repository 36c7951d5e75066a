"""Problem details (RFC 9457): every error of the API in one form, and which status each of ours has."""

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from trailhouse.schemas.errors import (
    ConfigError,
    IntegrityError,
    QueryError,
    SpoolFullError,
    SpoolUnavailableError,
    StorageUnavailableError,
    TrailhouseError,
)

RETRY_AFTER_SECONDS = 5.0
_TITLES = {
    "bad-cursor": "The cursor is not good for this question.",
    "bad-question": "The question cannot be answered as it stands.",
    "bad-request": "The request is not HTTP as this server speaks it.",
    "bad-token": "A token is needed.",
    "forbidden-scope": "The token does not open this.",
    "integrity": "What is stored is not what was appended.",
    "method-not-allowed": "The method is not allowed here.",
    "misdirected": "This server does not answer under that name.",
    "not-acceptable": "None of the wanted forms can be given.",
    "not-found": "There is nothing of this name.",
    "not-right": "The server cannot answer before it is mended.",
    "slow-follower": "The stream was ended: what followed it fell behind.",
    "too-large": "The request is too large.",
    "too-many": "Too much was asked for at once.",
    "unavailable": "The log cannot be read now.",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong.

    Attributes:
        type: Which problem: a stable name.
        title: What it is, the same for each of its kind.
        status: The HTTP status.
        detail: What was wrong this time, and the way out; never a stored value.
        retry_after_seconds: When to ask again, where that may help.
    """

    type: str
    title: str
    status: int
    detail: str
    retry_after_seconds: int | None = None


class ProblemError(Exception):
    """Ends a request with a problem; `kind` is its name in the table."""

    def __init__(
        self, status: int, kind: str, detail: str, wait_seconds: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.problem = problem(status, kind, detail, wait_seconds)


def problem(status: int, kind: str, detail: str, wait_seconds: float | None = None) -> Problem:
    """Return a problem of this *kind*, which is a name of the table."""
    return Problem(
        type=f"urn:trailhouse:problem:{kind}",
        title=_TITLES[kind],
        status=status,
        detail=detail,
        retry_after_seconds=None if wait_seconds is None else max(1, math.ceil(wait_seconds)),
    )


def problem_of(error: TrailhouseError) -> Problem:
    """Return what a client is told of an error of ours."""
    if isinstance(error, QueryError):
        if str(error).startswith("cursor"):
            return problem(400, "bad-cursor", str(error))
        return problem(422, "bad-question", str(error))
    if isinstance(error, StorageUnavailableError):
        # Its own words name servers: they are for our log.
        return problem(503, "unavailable", "ClickHouse is away or overloaded", RETRY_AFTER_SECONDS)
    if isinstance(error, (SpoolFullError, SpoolUnavailableError)):
        return problem(
            503,
            "unavailable",
            "the read could not be written down, so it is not given",
            RETRY_AFTER_SECONDS,
        )
    if isinstance(error, IntegrityError):
        return problem(500, "integrity", str(error))
    if isinstance(error, ConfigError):
        return problem(500, "not-right", "a setting of the server is wrong; its log says which")
    return problem(500, "not-right", "the server's log says why")


def problem_response(found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that carries a problem."""
    retry = (
        {} if found.retry_after_seconds is None else {"Retry-After": str(found.retry_after_seconds)}
    )
    return Response(
        msgspec.json.encode(found),
        status_code=found.status,
        media_type="application/problem+json",
        headers={**retry, **(headers or {})},
    )
