"""ClickHouse on this machine: its HTTP interface over the engine, in a process of its own."""

import importlib.util
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

from trailhouse.devstack.part import Part
from trailhouse.devstack.ports import HOST, is_listening
from trailhouse.schemas.errors import StackError

PASSWORD_VARIABLE = "CLICKHOUSE_PASSWORD"  # noqa: S105 - the variable's name
_PACKAGES = ("chdb", "aiohttp")


def clickhouse_part(folder: Path, port: int, log: Path, password: str) -> Part:
    """Return what the supervisor needs to run ClickHouse, for callers who have *password*.

    Raises:
        StackError: A package is missing. Permanent.
    """
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise StackError(
                f"ClickHouse needs the package {package}: pip install 'trailhouse[devstack]'"
            )
    module = "trailhouse.devstack.clickhouse_server"
    command = [sys.executable, "-P", "-m", module, "--data-dir", str(folder), "--port", str(port)]
    # The module is found from anywhere: a `trailhouse` folder where the user stands must not hide it.
    return Part(
        name="clickhouse",
        port=port,
        command=lambda: command,
        is_ready=lambda: (
            is_listening(port) and answers(f"http://{HOST}:{port}/?query=SELECT+1", password)
        ),
        log=log,
        environment={"PYTHONSAFEPATH": "1", PASSWORD_VARIABLE: password},
        start_seconds=60.0,
    )


def answers(url: str, password: str = "") -> bool:
    """Whether a GET of *url* is answered with 200 within a second; *password* is ClickHouse's."""
    headers = {"X-ClickHouse-Key": password} if password else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - always http on the loopback address
    try:
        with urllib.request.urlopen(request, timeout=0.8) as response:  # noqa: S310 - as above
            return bool(response.status == 200)
    except (URLError, OSError, HTTPException):  # the last: it was killed while it answered
        return False
