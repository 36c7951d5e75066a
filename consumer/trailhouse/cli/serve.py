"""`trailhouse serve`: the HTTP API."""

from typing import Annotated

import typer

from trailhouse.cli.output.console import show_warnings, tell

EXAMPLES = (
    "trailhouse serve",
    "trailhouse serve --port 8443",
    "TRAILHOUSE_API_HOST=0.0.0.0 trailhouse serve --behind-proxy",
)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; that of the settings, 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="Port; that of the settings, 8420; 0: a free one."),
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy on the way speaks TLS.")
    ] = False,
) -> None:
    """Answer questions over HTTP, until SIGTERM or Ctrl-C: /api/v1, /health, /metrics, /openapi.json.

    Only this machine reaches it unless a host is given; beyond it, it starts only with tokens, and with
    TLS or --behind-proxy. docs/api.md says what can be asked.
    """
    from trailhouse.api.config import ApiConfig
    from trailhouse.api.serve import serve as run

    show_warnings()
    config = ApiConfig()
    if host is not None or port is not None:
        config = ApiConfig(
            host=config.host if host is None else host, port=config.port if port is None else port
        )
    run(config, behind_proxy=behind_proxy, tell=tell)
