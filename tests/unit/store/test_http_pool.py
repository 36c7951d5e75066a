"""The connection to ClickHouse: to whom it goes, whom it trusts, and what it shows of itself."""

import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.httputil import all_managers

from bad_servers import http_server
from certificates import KEY_PASSWORD, Authority
from tls_front import tls_front
from trailhouse.schemas.errors import ConfigError, StorageError, StorageRejectedError
from trailhouse.store import ClickHouse, ClickHouseConfig

REFUSAL = b"Code: 516. DB::Exception: x. (AUTHENTICATION_FAILED)"
ANSWER = b"HTTP/1.1 403 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
    len(REFUSAL),
    REFUSAL,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority, with a server's and a client's certificate."""
    return Authority(tmp_path_factory.mktemp("certificates"))


def failure(**fields: Any) -> StorageError:
    """Return how asking such a ClickHouse ends."""
    with (
        ClickHouse(ClickHouseConfig(timeout_seconds=10, **fields)) as clickhouse,
        pytest.raises(StorageError) as caught,
    ):
        clickhouse.ping()
    return caught.value


@contextmanager
def elsewhere() -> Generator[tuple[str, list[str]]]:
    """Serve on another port, and note each request that comes."""
    came: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.path)
            self.send_response(500)
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the server's names
        do_CONNECT = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """A server that points elsewhere gets no other server our statement, nor our password."""
    with elsewhere() as (url, came):
        answer = f"HTTP/1.1 {status} X\r\nLocation: {url}/\r\nContent-Length: 0\r\n\r\n"
        with http_server(answer.encode()) as server:
            error = failure(url=server, user="u", password="hunter2")

    assert came == []
    assert f"answers HTTP {status} and not as ClickHouse does" in str(error)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"])
def test_no_proxy_of_the_environment_gets_the_password(
    name: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a variable names for web browsers is not where our statements go."""
    identity = authority.identity("server")
    with elsewhere() as (url, came), http_server(ANSWER) as server:
        monkeypatch.setenv(name, url)
        error = failure(url=server, user="u", password="hunter2")
        assert "AUTHENTICATION_FAILED" in str(error)
        with tls_front(server, identity) as front:
            ca = str(authority.ca)
            error = failure(url=front.url, user="u", password="hunter2", ssl_ca_location=ca)
        assert "AUTHENTICATION_FAILED" in str(error)

    assert came == []


def test_who_is_trusted_is_a_setting(authority: Authority, tmp_path: Path) -> None:
    """A server is asked when the named authority vouches for it under its address, and otherwise told of."""
    right, other = authority.ca, Authority(tmp_path / "other").ca
    with http_server(ANSWER) as server:
        with tls_front(server, authority.identity("server")) as front:
            assert "AUTHENTICATION_FAILED" in str(
                failure(url=front.url, ssl_ca_location=str(right))
            )
            for ca in (str(other), ""):
                error = failure(url=front.url, password="hunter2", ssl_ca_location=ca)
                assert isinstance(error, StorageRejectedError)
                assert str(error) == (
                    f"the certificate of ClickHouse at {front.url} is not trusted;"
                    " check TRAILHOUSE_CLICKHOUSE_URL and TRAILHOUSE_CLICKHOUSE_SSL_CA_LOCATION"
                )
        with tls_front(server, authority.identity("stranger", "db.example")) as front:
            error = failure(url=front.url, password="hunter2", ssl_ca_location=str(right))
            assert "is not trusted" in str(error)
            assert front.requests == []


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_our_own_certificate_logs_us_in(authority: Authority, is_encrypted: bool) -> None:
    """Without a password the certificate is the log-in, as ClickHouse has it; its key may be encrypted."""
    server_identity, own = authority.identity("server"), authority.identity("client")
    fields: dict[str, Any] = {
        "ssl_ca_location": str(authority.ca),
        "ssl_certificate_location": str(own.certificate),
        "ssl_key_location": str(own.encrypted_key if is_encrypted else own.key),
        "ssl_key_password": KEY_PASSWORD if is_encrypted else "",
        "user": "u",
    }
    with (
        http_server(ANSWER) as server,
        tls_front(server, server_identity, client_ca=authority.ca) as front,
    ):
        assert "AUTHENTICATION_FAILED" in str(failure(url=front.url, **fields))
        assert "AUTHENTICATION_FAILED" in str(failure(url=front.url, password="p", **fields))

    by_certificate, by_password = (request.lower() for request in front.requests)
    assert b"x-clickhouse-ssl-certificate-auth: on" in by_certificate
    assert b"authorization:" not in by_certificate
    assert b"authorization: basic" in by_password
    assert b"x-clickhouse-ssl-certificate-auth" not in by_password


def test_a_server_that_wants_a_certificate_is_told_of(authority: Authority, tmp_path: Path) -> None:
    """Without a certificate, or with one that it does not know, one line says which setting it is."""
    stranger = Authority(tmp_path / "other").identity("client")
    ours: dict[str, Any] = {
        "ssl_certificate_location": str(stranger.certificate),
        "ssl_key_location": str(stranger.key),
    }
    identity = authority.identity("server")
    with http_server(ANSWER) as server, tls_front(server, identity, authority.ca) as front:
        for fields in ({}, ours):
            error = failure(url=front.url, ssl_ca_location=str(authority.ca), **fields)
            assert "TRAILHOUSE_CLICKHOUSE_SSL_CERTIFICATE_LOCATION" in str(error)
            assert "\n" not in str(error)


@pytest.mark.parametrize("wrong", ["key", "password", "certificate", "ca"])
def test_files_that_do_not_fit_are_wrong_settings(
    wrong: str, authority: Authority, tmp_path: Path
) -> None:
    """A key of another certificate, a wrong password of the key, or no PEM at all are told by the setting's name."""
    own, other = authority.identity("client"), authority.identity("other")
    junk = tmp_path / "junk.pem"
    junk.write_text("hunter2")
    fields: dict[str, Any] = {
        "ssl_ca_location": str(junk if wrong == "ca" else authority.ca),
        "ssl_certificate_location": str(junk if wrong == "certificate" else own.certificate),
        "ssl_key_location": str(
            {"key": other.key, "password": own.encrypted_key}.get(wrong, own.key)
        ),
    }
    with (
        ClickHouse(ClickHouseConfig(url="https://127.0.0.1:1", **fields)) as clickhouse,
        pytest.raises(ConfigError, match=r"clickhouse\.ssl_(ca|certificate)_location") as caught,
    ):
        clickhouse.ping()
    assert "hunter2" not in str(caught.value)


def test_a_closed_connection_is_forgotten() -> None:
    """Connecting again and again keeps nothing: the client library holds no pool of ours."""
    before = len(all_managers)
    with http_server(ANSWER) as server:
        for _ in range(3):
            failure(url=server, password="hunter2")
    assert len(all_managers) == before
