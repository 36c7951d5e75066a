"""`trailhouse serve` as a process: where it listens, what follows it, what is written down without Kafka."""

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from api_process import running_api
from certificates import Authority
from command_line import run_command
from stored import event, in_order, store
from trailhouse.access import TokenStore
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def clickhouse_of_module(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a fresh database for the whole module, with one event."""
    store(database_of_module, in_order([event("s", tenant_id="acme")]))
    return database_of_module


def settings_of(clickhouse: ClickHouseConfig, folder: Path) -> dict[str, str]:
    """Return the environment of a server over *clickhouse*, with Kafka away."""
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": clickhouse.url,
        "TRAILHOUSE_CLICKHOUSE_USER": clickhouse.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": clickhouse.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": clickhouse.database,
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS": "0",
        "XDG_STATE_HOME": str(folder),
    }


@pytest.fixture
def settings(clickhouse_of_module: ClickHouseConfig, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a server over the module's database."""
    return settings_of(clickhouse_of_module, tmp_path)


@pytest.fixture
def header(tmp_path: Path) -> dict[str, str]:
    """Make a token of tenant acme where the server looks; return the header that presents it."""
    store_of_server = TokenStore(tmp_path / "trailhouse" / "tokens.json")
    _, secret = store_of_server.create("grafana", tenant_id="acme")
    return {"Authorization": f"Bearer {secret}"}


def test_reads_go_on_while_kafka_is_away_and_wait_in_the_spool(
    settings: dict[str, str], header: dict[str, str], tmp_path: Path
) -> None:
    """An answer needs no broker, and what was read is on the disk before it is given."""
    with running_api(settings=settings) as address:
        answer = httpx2.get(f"{address}/api/v1/log", params={"session": "s"}, headers=header)
        spooled = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert answer.status_code == 200
        assert b'"audit_read"' in spooled
        assert b"grafana" in spooled
    assert run_command("spool", "status", settings=settings).stdout.count(b"trailhouse-api") == 1


def test_sql_at_the_command_line_is_written_down_too(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """Its statement is in the spool while Kafka is away; where reads are not audited, nothing is."""
    statement = "SELECT count() AS asked_by_somebody FROM events"
    silent = settings | {"TRAILHOUSE_ACCESS_AUDIT_READS": "false"}
    for given, is_written in ((silent, False), (settings, True)):
        done = run_command("sql", statement, settings=given)
        spooled = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert done.returncode == 0, done.stderr
        assert (b"asked_by_somebody" in spooled) is is_written
        assert (b'"door":"sql"' in spooled) is is_written


def test_sql_that_is_refused_is_written_down_too(settings: dict[str, str], tmp_path: Path) -> None:
    """A statement that may not be asked, and one that finds no server, by the kind of the error."""
    away = settings | {"TRAILHOUSE_CLICKHOUSE_URL": "http://127.0.0.1:1"}
    for given, statement, kind in (
        (settings, "DROP TABLE events", b"QueryError"),
        (away, "SELECT 1 FROM events", b"StorageUnavailableError"),
    ):
        assert run_command("sql", statement, settings=given).returncode != 0
        spooled = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert b'"failed":"' + kind in spooled
        assert statement.encode() in spooled


def test_who_asks_too_much_at_a_time_is_told_when_to_come_again(
    settings: dict[str, str], header: dict[str, str]
) -> None:
    """A stream counts while it lasts: the next request is 429 with Retry-After, and is let in once it has ended."""
    few = settings | {"TRAILHOUSE_API_CONCURRENT_REQUESTS": "1"}
    with running_api(settings=few) as address:
        url = f"{address}/api/v1/log?session=s"
        with httpx2.stream("GET", f"{address}/api/v1/follow", headers=header) as stream:
            assert stream.status_code == 200
            refused = httpx2.get(url, headers=header)
            assert refused.status_code == 429
            assert "concurrent_requests" in refused.json()["detail"]
            assert int(refused.headers["retry-after"]) == refused.json()["retry_after_seconds"] >= 1
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (answer := httpx2.get(url, headers=header)).status_code == 429:
            assert time.monotonic() < deadline
        assert answer.status_code == 200


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0"), b"there is no token"),
        (("--host", "0.0.0.0", "--behind-proxy"), b"there is no token"),
        (("--host", "not a host"), b"error: "),
    ],
)
def test_it_does_not_start_where_others_could_read(
    settings: dict[str, str], arguments: tuple[str, ...], says: bytes
) -> None:
    """One clear line, and nothing listens."""
    done = run_command("serve", "--port", "0", *arguments, settings=settings)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_with_tokens_it_speaks_tls(
    settings: dict[str, str], header: dict[str, str], tmp_path: Path
) -> None:
    """Beyond this machine it starts with a certificate, and in clear text it answers nobody."""
    authority = Authority(tmp_path / "certificates")
    identity = authority.identity("server")
    refused = run_command("serve", "--host", "0.0.0.0", "--port", "0", settings=settings)
    assert b"--behind-proxy" in refused.stderr
    files = {
        "TRAILHOUSE_API_SSL_CERTIFICATE_LOCATION": str(identity.certificate),
        "TRAILHOUSE_API_SSL_KEY_LOCATION": str(identity.key),
    }
    with running_api("--host", "0.0.0.0", settings=settings | files) as address:
        assert address.startswith("https://")
        here = address.replace("0.0.0.0", "127.0.0.1")
        trusted = ssl.create_default_context(cafile=str(authority.ca))
        url = f"{here}/api/v1/log?session=s"
        assert httpx2.get(url, verify=trusted, headers=header).status_code == 200
        with pytest.raises(httpx2.TransportError):
            httpx2.get(url.replace("https", "http"), headers=header)


def test_tools_over_http_need_the_token_and_see_its_tenant(
    settings: dict[str, str], header: dict[str, str]
) -> None:
    """The official client reads with a token, and is refused without one."""

    async def call(address: str, headers: dict[str, str]) -> Any:
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            return await client.call_tool("log", {"session": "s"})

    with running_api(settings=settings) as address:
        result = asyncio.run(call(address, header))
        assert [each["session_id"] for each in result.structured_content["answer"]["items"]] == [
            "s"
        ]
        assert httpx2.post(f"{address}/mcp", json={}).status_code == 401


class Frames:
    """The frames of a stream of server-sent events, one by one."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, str]:
        """Return the next frame that has an event: its id, its kind, its data."""
        frame: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line:
                frame[name] = value
            elif "event" in frame:
                return frame
            else:
                frame = {}
        raise AssertionError("expected a frame, the stream has ended")


@pytest.fixture
def followed(database: ClickHouseConfig, tmp_path: Path) -> Iterator[tuple[str, ClickHouseConfig]]:
    """Run a server over a database of its own; return its address and where to store."""
    with running_api(settings=settings_of(database, tmp_path)) as address:
        yield address, database


def test_a_follower_gets_each_event_once_and_goes_on_from_its_token(
    followed: tuple[str, ClickHouseConfig], header: dict[str, str]
) -> None:
    """What is stored while it listens comes at once, stored twice or not, and a token goes on behind it."""
    address, clickhouse = followed
    url = f"{address}/api/v1/follow"
    emitted = [event(f"f-{place}", tenant_id="acme") for place in range(3)]
    hidden = event("hidden", tenant_id="other")
    with httpx2.stream(
        "GET", url, params={"q": "-session:s"}, headers=header, timeout=60
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        frames = Frames(answer)
        store(clickhouse, in_order([hidden, *emitted]))
        store(clickhouse, in_order(emitted, 4))
        came = [frames.next() for _ in emitted]
    assert [each["data"].encode() for each in came] == [each.record for each in emitted]
    again = {**header, "Last-Event-ID": came[0]["id"]}
    with httpx2.stream("GET", url, params={"q": "-session:s"}, headers=again, timeout=60) as answer:
        frames = Frames(answer)
        assert [frames.next()["data"].encode() for _ in range(2)] == [
            each.record for each in emitted[1:]
        ]
    altered = {**header, "Last-Event-ID": came[0]["id"][:-2] + "AA"}
    answer = httpx2.get(url, params={"q": "-session:s"}, headers=altered)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:trailhouse:problem:bad-cursor")
    unknown = httpx2.get(url, params={"q": "colour:red"}, headers=header)
    assert unknown.status_code == 422


def test_a_follower_does_not_feed_itself_and_ends_with_its_token(
    followed: tuple[str, ClickHouseConfig], header: dict[str, str], tmp_path: Path
) -> None:
    """That it follows is no event to itself; another's reads are; a revoked token ends the stream by name."""
    address, clickhouse = followed

    def a_read(name: str) -> AuditEvent:
        return event(
            "audit-read-api-2026-10-31", "audit_read", tenant_id="acme",
            actor={"type": "token", "id": name}, data={"operation": "follow"},
        )  # fmt: skip

    with httpx2.stream("GET", f"{address}/api/v1/follow", headers=header, timeout=60) as answer:
        frames = Frames(answer)
        store(clickhouse, in_order([a_read("grafana"), a_read("other")]))
        assert json.loads(frames.next()["data"])["actor"]["id"] == "other"
        TokenStore(tmp_path / "trailhouse" / "tokens.json").revoke("grafana")
        last = frames.next()
    assert last["event"] == "problem"
    assert json.loads(last["data"])["type"] == "urn:trailhouse:problem:bad-token"
