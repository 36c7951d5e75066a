"""Run the HTTP API until it is told to end."""

import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from trailhouse.access.read_audit import open_read_audit
from trailhouse.access.tokens import default_store
from trailhouse.api.app import make_app
from trailhouse.api.config import ApiConfig, check_reach
from trailhouse.api.health import Health
from trailhouse.api.readers import Readers
from trailhouse.query import AuditReader
from trailhouse.store import ClickHouseConfig

MAX_HEADER_BYTES = 262_144
"""A filter of the longest that is allowed, each of its signs written as twelve of an address, and the headers."""
MAX_CONNECTIONS = 1_000
DRAIN_SECONDS = 10
KEEP_ALIVE_SECONDS = 15


def serve(
    config: ApiConfig, *, behind_proxy: bool = False, tell: Callable[[str], None] = lambda _: None
) -> None:
    """Answer until SIGTERM or Ctrl-C; then what runs is ended, and what was written down is sent.

    Args:
        config: Where, and how much.
        behind_proxy: Whether a proxy speaks TLS on the way.
        tell: Gets a line once it listens, and one where everybody on this machine may read.

    Raises:
        ConfigError: It would be open to others, or a setting is wrong. Permanent; nothing was started.
        OSError: The address cannot be listened at.
    """
    tokens = default_store()
    has_tokens = not tokens.is_empty()
    check_reach(config, behind_proxy=behind_proxy, has_tokens=has_tokens)
    clickhouse = ClickHouseConfig()
    app = make_app(
        config,
        tokens=tokens,
        readers=Readers(
            lambda who: AuditReader(who.tenant_id, config=clickhouse, principal=who.key)
        ),
        health=Health(clickhouse),
        audit=open_read_audit("api"),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with _listening(config) as listener:
        scheme = "https" if config.is_encrypted else "http"
        host = f"[{config.host}]" if ":" in config.host else config.host
        tell(f"listening at {scheme}://{host}:{listener.getsockname()[1]}/api/v1")
        if not has_tokens:
            tell("there is no token: everybody on this machine may read; `trailhouse token create`")
        with _signals_are_no_end():
            uvicorn.Server(_settings(app, config)).run(sockets=[listener])


def _settings(app: ASGIApp, config: ApiConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,  # an address holds what was asked for
        server_header=False,
        proxy_headers=False,  # nothing here depends on where a request comes from
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        ssl_certfile=config.ssl_certificate_location or None,
        ssl_keyfile=config.ssl_key_location or None,
    )


@contextlib.contextmanager
def _signals_are_no_end() -> Generator[None]:
    """Have nothing done with a signal that uvicorn raises again once it has drained: the exit code is 0."""
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listening(config: ApiConfig) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address[:2], family=family, backlog=256)
