"""What one request says, before its body is read."""

import base64

import pytest
from multidict import CIMultiDict

from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.request import check_source, check_user, digest, read_query


def test_names_that_are_not_the_interfaces_own_are_settings() -> None:
    """`query`, `database` and the like are the interface's; `param_` are parameters; the rest are settings."""
    values = {
        "query": "SELECT 1",
        "database": "d",
        "max_threads": "2",
        "param_x": "1",
        "query_id": "q",
    }
    query = read_query(values)
    assert (query.query, query.database, query.query_id, query.params) == (
        "SELECT 1",
        "d",
        "q",
        {"x": "1"},
    )
    assert query.settings == {"max_threads": "2"}


def test_native_block_compression_is_refused_by_name() -> None:
    """What this server does not speak is refused, not misread."""
    with pytest.raises(EngineError, match="Content-Encoding"):
        read_query({"compress": "1"})


def test_a_bad_number_is_named() -> None:
    """A number that is none names its parameter."""
    with pytest.raises(EngineError, match="buffer_size"):
        read_query({"buffer_size": "soon"})


@pytest.mark.parametrize("values", [{"query_id": "a\r\nb"}, {"default_format": "x y"}])
def test_what_goes_into_a_header_cannot_break_it(values: dict[str, str]) -> None:
    """A line end in a value that the answer repeats in its headers is refused."""
    with pytest.raises(EngineError):
        read_query(values)


def headers(**values: str) -> CIMultiDict[str]:
    """Return HTTP headers, whose names have no case."""
    return CIMultiDict({name.replace("_", "-"): text for name, text in values.items()})


@pytest.mark.parametrize(
    "given",
    [
        headers(X_ClickHouse_User="u", X_ClickHouse_Key="p"),
        headers(Authorization="Basic " + base64.b64encode(b"u:p").decode()),
    ],
)
def test_credentials_are_found(given: CIMultiDict[str]) -> None:
    """User and password may come in ClickHouse's headers or as Basic authorization."""
    check_user(given, "u", digest("p"))


@pytest.mark.parametrize(
    "given",
    [
        headers(),
        headers(X_ClickHouse_User="u", X_ClickHouse_Key="wrong"),
        headers(X_ClickHouse_User="other", X_ClickHouse_Key="p"),
        headers(Authorization="Basic !!!"),
    ],
)
def test_wrong_credentials_are_refused(given: CIMultiDict[str]) -> None:
    """Anything but the right user with the right password is refused."""
    with pytest.raises(EngineError) as refusal:
        check_user(given, "u", digest("p"))
    assert refusal.value.code == 516


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8123", "localhost:8123", "LOCALHOST", "[::1]:8123", "127.0.0.1"]
)
def test_this_machine_may_be_asked_by_its_names(host: str) -> None:
    """Loopback addresses and `localhost` are this machine, behind a tunnel's port, too."""
    check_source(headers(Host=host))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8123",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1.nip.io",
        "10.0.0.1:8123",
        "[::ffff:10.0.0.1]",
        "[",
    ],
)
def test_another_host_is_refused(host: str) -> None:
    """A page that leads a name of its own to this machine is refused, whatever it sends besides."""
    with pytest.raises(EngineError) as refused:
        check_source(headers(Host=host))
    assert (refused.value.code, refused.value.status) == (497, 403)


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1:8123"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_web_page_is_refused(sent: dict[str, str]) -> None:
    """Nothing that a page made a browser send is answered: there are no pages of ours."""
    with pytest.raises(EngineError) as refused:
        check_source(headers(Host="127.0.0.1:8123", **sent))
    assert refused.value.code == 497
