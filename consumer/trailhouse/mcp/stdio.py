"""`trailhouse mcp`: the tools over standard input and output, for the user of this machine."""

import anyio
from mcp.server.stdio import stdio_server

from trailhouse.access.principal import this_user
from trailhouse.access.read_audit import open_read_audit
from trailhouse.mcp.server import Tools
from trailhouse.query import AuditReader


def serve_stdio(tenant_id: str | None, own_session: str | None) -> None:
    """Answer the client at standard input until it closes it.

    Args:
        tenant_id: The one tenant whose events are open; None for all.
        own_session: The one session that is open; None for all.

    Raises:
        QueryError, ConfigError: A setting or an argument is wrong. Permanent; nothing was answered.
    """
    principal = this_user(tenant_id)
    audit = open_read_audit("mcp")
    with AuditReader(tenant_id, principal=principal.key) as reader:
        tools = Tools(lambda _: principal, lambda _: reader, audit, own_session=own_session)
        server = tools.server()

        async def run() -> None:
            async with stdio_server() as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())

        try:
            anyio.run(run)
        finally:
            audit.close()
