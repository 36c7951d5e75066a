"""The application: a route for each question, health, metrics and the OpenAPI document, behind the door."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, cast

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from trailhouse.access import Principal, ReadAudit, TokenStore
from trailhouse.access.operations import EXPORT, FOLLOW, OPERATIONS
from trailhouse.api.asked import Endpoint
from trailhouse.api.config import ApiConfig
from trailhouse.api.door import MAX_BODY_BYTES, PRINCIPAL, ROUTE, Door
from trailhouse.api.export import ExportLines
from trailhouse.api.follow import Follow
from trailhouse.api.health import Health
from trailhouse.api.limits import Limits
from trailhouse.api.metrics import Metrics
from trailhouse.api.openapi import openapi, path_of
from trailhouse.api.problem import ProblemError, problem, problem_of, problem_response
from trailhouse.api.readers import Readers
from trailhouse.mcp.server import Tools
from trailhouse.schemas.errors import TrailhouseError

_log = logging.getLogger(__name__)


def make_app(
    config: ApiConfig,
    *,
    tokens: TokenStore,
    readers: Readers,
    health: Health,
    audit: ReadAudit,
) -> ASGIApp:
    """Return the application; `trailhouse serve` runs it. It closes what it is given when it ends.

    Args:
        config: The settings; its limits, and whether only this machine can reach it.
        tokens: Who may ask.
        readers: Whom to ask.
        health: Whether the log can be read.
        audit: Where it is written down who asked.
    """
    metrics = Metrics()
    sessions = _mcp(readers, audit.at("mcp"))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with sessions.run():
            yield
        for close in (readers.close, health.close, audit.close):
            await run_in_threadpool(close)

    app = Starlette(
        routes=[
            *_beside(health, metrics),
            *_reads(readers, audit),
            Route("/mcp", _Noted(sessions.handle_request, "/mcp")),
        ],
        lifespan=lifespan,
        exception_handlers=dict.fromkeys(
            (HTTPException, ProblemError, TrailhouseError, Exception), _answer_error
        ),
    )
    app.router.redirect_slashes = False  # it would send the token on to another address
    limits = Limits(
        requests_per_minute=config.requests_per_minute,
        concurrent_requests=config.concurrent_requests,
        bytes_per_minute=config.bytes_per_minute,
    )
    return Door(
        app, tokens=tokens, limits=limits, metrics=metrics, is_open=config.is_on_this_machine
    )


def _reads(readers: Readers, audit: ReadAudit) -> list[Route]:
    """Return a route for each operation."""
    return [
        *(
            Route(path_of(each), Endpoint(each, readers, audit).__call__, methods=["GET"])
            for each in OPERATIONS
            if each.ask is not None
        ),
        Route(path_of(EXPORT), ExportLines(readers, audit).__call__, methods=["GET"]),
        Route(path_of(FOLLOW), Follow(readers, audit).__call__, methods=["GET"]),
    ]


def _mcp(readers: Readers, audit: ReadAudit) -> StreamableHTTPSessionManager:
    """Return the tools over HTTP: each request by itself, for the principal that the door has let in."""

    def principal_of(context: ServerRequestContext[Any, Request]) -> Principal:
        request = cast(Request, context.request)  # over HTTP there is always one
        principal: Principal = request.scope[PRINCIPAL]
        return principal

    return StreamableHTTPSessionManager(
        Tools(principal_of, readers.of, audit).server(),
        json_response=True,
        stateless=True,
        max_request_body_size=MAX_BODY_BYTES,
    )


class _Noted:
    """An application that notes its route."""

    def __init__(self, app: ASGIApp, route: str) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._route
        await self._app(scope, receive, send)


def _beside(health: Health, metrics: Metrics) -> list[Route]:
    """Return the routes that answer nothing of the log, and need no token."""
    document = msgspec.json.encode(openapi(OPERATIONS, metadata.version("trailhouse")))

    async def answer_health(request: Request) -> Response:
        request.scope[ROUTE] = "/health"
        if (away := await run_in_threadpool(health.away)) is not None:
            return problem_response(away)
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def answer_metrics(request: Request) -> Response:
        request.scope[ROUTE] = "/metrics"
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def answer_openapi(request: Request) -> Response:
        request.scope[ROUTE] = "/openapi.json"
        return Response(document, media_type="application/json")

    return [
        Route("/health", answer_health),
        Route("/metrics", answer_metrics),
        Route("/openapi.json", answer_openapi),
        Route("/api/v1/openapi.json", answer_openapi),
    ]


async def _answer_error(_: Request, error: Exception) -> Response:
    """Return what a client is told of an error; our log gets what it must not be told."""
    headers: Mapping[str, str] | None = None
    match error:
        case ProblemError():
            found = error.problem
        case TrailhouseError():
            found = problem_of(error)
            if found.status >= 500:
                _log.warning("a read failed: %s", error)
        case HTTPException(status_code=405):
            found, headers = problem(405, "method-not-allowed", "see the OpenAPI"), error.headers
        case HTTPException(status_code=404):
            found = problem(404, "not-found", "there is nothing at this address")
        case HTTPException():
            found = problem(error.status_code, "bad-request", "the request cannot be read")
        case _:
            # By its kind alone: what it says may hold a stored value.
            _log.error("unexpected %s while answering", type(error).__name__)
            found = problem(500, "not-right", "this is a mistake of ours; report it")
    return problem_response(found, headers)
