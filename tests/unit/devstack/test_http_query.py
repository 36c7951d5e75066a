"""What one request says, before its body is read."""

import base64

import pytest
from multidict import CIMultiDict

from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http_query import check_origin, check_user, read_query


def test_names_that_are_not_the_interfaces_own_are_settings() -> None:
    """`query`, `database` and the like are the interface's; `param_` are parameters; the rest are settings."""
    values = {
        "query": "SELECT 1",
        "database": "d",
        "max_threads": "2",
        "param_x": "1",
        "query_id": "q",
    }
    query = read_query(values, {}, is_get=False)
    assert (query.query, query.database, query.query_id, query.params) == (
        "SELECT 1",
        "d",
        "q",
        {"x": "1"},
    )
    assert query.settings == {"max_threads": "2", "log_comment": "q"}


def test_get_is_readonly() -> None:
    """GET makes a request read-only, and a stricter wish stays."""
    assert read_query({}, {}, is_get=True).settings["readonly"] == "2"
    assert read_query({"readonly": "1"}, {}, is_get=True).settings["readonly"] == "1"
    assert "readonly" not in read_query({}, {}, is_get=False).settings


def test_native_block_compression_is_refused_by_name() -> None:
    """What this server does not speak is refused, not misread."""
    with pytest.raises(EngineError, match="Content-Encoding"):
        read_query({"compress": "1"}, {}, is_get=False)


def test_a_bad_number_is_named() -> None:
    """A number that is none names its parameter."""
    with pytest.raises(EngineError, match="session_timeout"):
        read_query({"session_timeout": "soon"}, {}, is_get=False)


@pytest.mark.parametrize("values", [{"query_id": "a\r\nb"}, {"default_format": "x y"}])
def test_what_goes_into_a_header_cannot_break_it(values: dict[str, str]) -> None:
    """A line end in a value that the answer repeats in its headers is refused."""
    with pytest.raises(EngineError):
        read_query(values, {}, is_get=False)


def headers(**values: str) -> CIMultiDict[str]:
    """Return HTTP headers, whose names have no case."""
    return CIMultiDict({name.replace("_", "-"): text for name, text in values.items()})


@pytest.mark.parametrize(
    ("values", "given"),
    [
        ({}, headers(X_ClickHouse_User="u", X_ClickHouse_Key="p")),
        ({}, headers(Authorization="Basic " + base64.b64encode(b"u:p").decode())),
        ({"user": "u", "password": "p"}, headers()),
    ],
)
def test_credentials_are_found(values: dict[str, str], given: CIMultiDict[str]) -> None:
    """User and password may come in ClickHouse's headers, as Basic authorization, or in the address."""
    check_user(values, given, "u", "p")


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
        check_user({}, given, "u", "p")
    assert refusal.value.code == 516


def test_pages_of_other_machines_are_refused() -> None:
    """A browser that shows somebody else's page cannot make this server run statements."""
    check_origin(headers())
    check_origin(headers(Origin="http://localhost:3000"))
    for origin in ("https://example.org", "null"):
        with pytest.raises(EngineError, match="refused"):
            check_origin(headers(Origin=origin))
