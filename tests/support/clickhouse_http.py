"""A ClickHouse server as a plain HTTP client sees it: an address, a user, a password, a database."""

import http.client
import json
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from cluster import Cluster

DEADLINE_SECONDS = 120.0


class Reply(NamedTuple):
    """One HTTP answer; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> int:
        """ClickHouse's code of the error; 0 without one."""
        return int(self.headers.get("x-clickhouse-exception-code", "0"))

    @property
    def summary(self) -> dict[str, int]:
        """The numbers of ``X-ClickHouse-Summary``."""
        numbers = json.loads(self.headers["x-clickhouse-summary"])
        return {name: int(number) for name, number in numbers.items()}


class Server(NamedTuple):
    """Where the server is, and a database of the tests' own."""

    url: str
    user: str
    password: str
    database: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password}

    def open(self, body: bytes | str = b"", **values: str) -> http.client.HTTPConnection:
        """Send a statement and return the connection, its answer unread."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_SECONDS)
        connection.request("POST", f"/?{urlencode(values)}", body, self.credentials)
        return connection

    def ask(
        self, body: bytes | str = b"", headers: Mapping[str, str] | None = None, /, **values: str
    ) -> Reply:
        """Send a statement by POST and return the answer."""
        return self.request("POST", f"/?{urlencode(values)}", body, headers)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send any request and return the answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_SECONDS)
        data = body.encode() if isinstance(body, str) else body
        try:
            connection.request(method, target, data or None, self.credentials | dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): text for name, text in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def text(self, sql: str, **values: str) -> str:
        """Run a statement that must succeed and return its answer."""
        reply = self.ask(sql, **values)
        assert reply.status == 200, f"{sql!r} must succeed, but: {reply.body[:500]!r}"
        return reply.body.decode()

    def running(self, mark: str) -> int:
        """Count the statements under way that contain *mark*."""
        others = "query NOT LIKE '%system.processes%'"
        sql = f"SELECT count() FROM system.processes WHERE position(query, {{mark:String}}) > 0 AND {others}"
        return int(self.text(sql, param_mark=mark))

    def client(self, compress: bool | str = True) -> Client:
        """Open a client of clickhouse-connect."""
        host, port = self.address
        return clickhouse_connect.get_client(
            host=host,
            port=port,
            username=self.user,
            password=self.password,
            database=self.database,
            compress=compress,
        )


def server_of(cluster: Cluster) -> Server:
    """Return the cluster's ClickHouse with a new database."""
    database = f"contract_{uuid.uuid4().hex[:8]}"
    server = Server(
        cluster.clickhouse_url, cluster.clickhouse_user, cluster.clickhouse_password, database
    )
    server.text(f"CREATE DATABASE {database}")
    return server


def curl(server: Server, *arguments: str, data: bytes = b"") -> bytes:
    """Run curl against the server and return its standard output."""
    program = shutil.which("curl")
    assert program is not None, (
        "curl must be installed: this suite is about what any HTTP client sees"
    )
    user = ["-H", f"X-ClickHouse-User: {server.user}", "-H", f"X-ClickHouse-Key: {server.password}"]
    done = subprocess.run(
        [program, "-sS", "--max-time", "30", *user, *arguments],
        input=data,
        capture_output=True,
        check=True,
    )
    return done.stdout
