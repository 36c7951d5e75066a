"""The door that every request goes through: its size, who asks, how much, and what it cost."""

import time
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trailhouse.access import Principal, TokenStore
from trailhouse.access.principal import anybody_here
from trailhouse.api.limits import Limits
from trailhouse.api.metrics import Metrics
from trailhouse.api.problem import ProblemError, problem_of, problem_response
from trailhouse.schemas.errors import TrailhouseError

PRINCIPAL = "trailhouse.principal"
ROUTE = "trailhouse.route"
STILL_GOOD = "trailhouse.still_good"
"""Tells whether who asked may still read: a stream outlives the question."""
MAX_BODY_BYTES = 262_144
MAX_HEADERS = 100
_NAMES_OF_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Door:
    """Lets in what is within the rules, and hands it on with its principal.

    Args:
        app: What answers.
        tokens: Who may ask. While no token was ever made, anybody on this machine may.
        limits: How much.
        metrics: Where it is counted.
        is_open: Whether no token is needed while none was ever made: on this machine alone.
    """

    def __init__(
        self, app: ASGIApp, *, tokens: TokenStore, limits: Limits, metrics: Metrics, is_open: bool
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits
        self._metrics = metrics
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        meter = _Meter(send, self._limits)
        started = time.monotonic()
        self._metrics.begin()
        try:
            await self._let_in(scope, _bounded(receive), meter)
        finally:
            seconds = time.monotonic() - started
            route = str(scope.get(ROUTE, "none"))
            self._metrics.end(route, meter.status, seconds, meter.size_bytes)

    async def _let_in(self, scope: Scope, receive: Receive, meter: "_Meter") -> None:
        try:
            _check_size(Headers(scope=scope))
            if _needs_principal(scope["path"]):
                principal = await run_in_threadpool(self._principal, Headers(scope=scope))
                self._begin(principal)
                scope[PRINCIPAL], meter.key = principal, principal.key
                scope[STILL_GOOD] = partial(self._is_still, principal, Headers(scope=scope))
        except (ProblemError, TrailhouseError) as error:
            found = error.problem if isinstance(error, ProblemError) else problem_of(error)
            headers = {"WWW-Authenticate": "Bearer"} if found.status == 401 else {}
            await problem_response(found, headers)(scope, receive, meter.send)
            return
        try:
            await self._app(scope, receive, meter.send)
        except Exception:  # noqa: BLE001 - answered and told in our log by then; the server's would show values
            return
        finally:
            if meter.key is not None:
                self._limits.end(meter.key)

    def _is_still(self, principal: Principal, headers: Headers) -> bool:
        try:
            return self._principal(headers) == principal
        except (ProblemError, TrailhouseError):
            return False

    def _begin(self, principal: Principal) -> None:
        if (refusal := self._limits.begin(principal.key)) is not None:
            raise ProblemError(
                429, "too-many", f"the limit {refusal.limit} was reached", refusal.wait_seconds
            )

    def _principal(self, headers: Headers) -> Principal:
        """Return who asks.

        Raises:
            ProblemError: Nobody that may.
            ConfigError: The file of the tokens cannot be used.
        """
        if self._is_open and self._tokens.is_empty():
            _check_names(headers)
            return anybody_here()
        given = headers.getlist("authorization")
        scheme, _, presented = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() == "bearer":
            found = self._tokens.principal(presented.strip(" "))
            if found is not None:
                return found
        raise ProblemError(
            401,
            "bad-token",
            "send `Authorization: Bearer TOKEN` with a token that is neither expired nor revoked",
        )


class _Meter:
    """Passes an answer on, counts it, and adds what each answer has."""

    def __init__(self, send: Send, limits: Limits) -> None:
        self._send = send
        self._limits = limits
        self.key: str | None = None
        self.status = 500
        self.size_bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *_SAFE]}
        elif message["type"] == "http.response.body":
            size = len(message.get("body", b""))
            self.size_bytes += size
            if self.key is not None:
                self._limits.sent(self.key, size)
        await self._send(message)


def _needs_principal(path: str) -> bool:
    return path.startswith(("/api/", "/mcp")) and path != "/api/v1/openapi.json"


def _check_size(headers: Headers) -> None:
    if len(headers) > MAX_HEADERS:
        raise ProblemError(431, "too-large", f"at most {MAX_HEADERS} headers are read")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:12]) > MAX_BODY_BYTES:
        raise ProblemError(413, "too-large", f"a body has at most {MAX_BODY_BYTES} bytes")


def _check_names(headers: Headers) -> None:
    """Refuse what a page of the web sends by way of a browser on this machine, which needs no token here.

    Raises:
        ProblemError: The request names another machine.
    """
    host = headers.get("host", "").rpartition(":")
    name = host[0] if host[0] and host[2].isdigit() else headers.get("host", "")
    origin = headers.get("origin")
    if name.lower() not in _NAMES_OF_THIS_MACHINE or (
        origin is not None and _host_of(origin) not in _NAMES_OF_THIS_MACHINE
    ):
        raise ProblemError(
            421, "misdirected", "without tokens it answers as localhost alone, and to no other site"
        )


def _host_of(origin: str) -> str:
    _, _, rest = origin.partition("://")
    name, colon, port = rest.rpartition(":")
    return (name if colon and port.isdigit() else rest).lower()


def _bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Pass a request on, and end it where its body is larger than it may be."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > MAX_BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return bounded
