"""Fixtures of the contract tests: the server under test and a fresh table on it."""

import uuid
from collections.abc import Generator

import pytest

from clickhouse_http import Server, server_of
from cluster import Cluster


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Generator[Server]:
    """Return ClickHouse's HTTP interface with a database that is dropped at the end."""
    made = server_of(cluster)
    yield made
    made.text(f"DROP DATABASE {made.database}")


@pytest.fixture
def table(server: Server) -> str:
    """Return a fresh table of a number `a` and a text `b`."""
    name = f"{server.database}.t{uuid.uuid4().hex[:8]}"
    server.text(f"CREATE TABLE {name} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    return name
