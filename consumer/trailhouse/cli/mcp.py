"""`trailhouse mcp`: the log as tools for an agent."""

from typing import Annotated

import typer

from trailhouse.cli.output.console import show_warnings

EXAMPLES = (
    "trailhouse mcp --tenant acme",
    "claude mcp add trailhouse -- trailhouse mcp --tenant acme",
    "trailhouse mcp --own-session airline-07",
)


def mcp(
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    own_session: Annotated[
        str | None,
        typer.Option(metavar="SESSION", help="Only this session, and nothing beside it."),
    ] = None,
) -> None:
    """Give an agent read-only tools over standard input and output: the Model Context Protocol.

    The client starts it. Each call is audited under your user's name. docs/mcp.md lists the tools.
    """
    from trailhouse.mcp.stdio import serve_stdio

    show_warnings()
    serve_stdio(tenant, own_session)
