"""Read one HTTP request the way ClickHouse does: who asks, what for, with which settings and parameters."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import uuid
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from trailhouse.devstack.engine_error import EngineError

# Consumed by the HTTP interface itself; every other name in the address is a setting.
_OWN_NAMES = frozenset(
    (
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "user",
        "password",
        "quota_key",
        "role",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "stacktrace",
        "client_protocol_version",
        "close_session",
    )
)
_DEFAULT_BUFFER_BYTES = 1_048_576
_TRUE = ("1", "true")


class HttpQuery(NamedTuple):
    """What one request asks for, before its body is read."""

    query: str
    query_id: str
    database: str
    default_format: str
    settings: dict[str, str]
    params: dict[str, str]
    waits_for_end: bool
    buffer_bytes: int
    may_compress: bool
    is_cancelled_with_client: bool


def read_query(values: Mapping[str, str]) -> HttpQuery:
    """Read *values*, of the address or a form.

    Raises:
        EngineError: A value cannot be read, or asks for what this server does not speak.
    """
    if _flag(values, "compress") or _flag(values, "decompress"):
        raise EngineError(
            48,
            "NOT_IMPLEMENTED",
            "compress and decompress are not supported here: use Content-Encoding",
        )
    settings = {
        name: text
        for name, text in values.items()
        if name not in _OWN_NAMES and not name.startswith("param_")
    }
    query_id = values.get("query_id") or str(uuid.uuid4())
    default_format = values.get("default_format") or "TabSeparated"
    # Both go into the answer's headers.
    if not query_id.isprintable():
        raise EngineError(36, "BAD_ARGUMENTS", "The query_id has characters that cannot be printed")
    if not default_format.isidentifier():
        raise EngineError(73, "UNKNOWN_FORMAT", "The default_format is no name of a format")
    return HttpQuery(
        query=values.get("query", ""),
        query_id=query_id,
        database=values.get("database", ""),
        default_format=default_format,
        settings=settings,
        params={
            name[len("param_") :]: text
            for name, text in values.items()
            if name.startswith("param_")
        },
        waits_for_end=_flag(values, "wait_end_of_query"),
        buffer_bytes=int(_number(values, "buffer_size", _DEFAULT_BUFFER_BYTES)),
        may_compress=_flag(values, "enable_http_compression", default="1"),
        is_cancelled_with_client=_flag(values, "cancel_http_readonly_queries_on_client_close"),
    )


def digest(password: str) -> bytes:
    """Return what is compared instead of the password itself."""
    return hashlib.sha256(password.encode()).digest()


def check_user(headers: Mapping[str, str], user: str, password_digest: bytes) -> None:
    """Refuse a request whose headers do not carry *user* and the password; an address is no place for it.

    Raises:
        EngineError: Unknown user or wrong password (ClickHouse's code 516).
    """
    given_user, given_password = _credentials(headers)
    is_right = hmac.compare_digest(digest(given_user), digest(user)) & hmac.compare_digest(
        digest(given_password), password_digest
    )
    if not is_right:
        text = f"{given_user}: Authentication failed: password is incorrect, or there is no user with such name."
        raise EngineError(516, "AUTHENTICATION_FAILED", text)


def check_source(headers: Mapping[str, str]) -> None:
    """Refuse what a web page makes a browser send: its author must not reach this server.

    A page can lead a name of its own to this machine, so the name asked for must be this machine's; the
    port may be that of a tunnel or a proxy. No page is served here, so none has to ask.

    Raises:
        EngineError: The request names another host, or was sent by a page (ClickHouse's code 497).
    """
    if not _is_this_machine(headers.get("Host", "")):
        raise EngineError(497, "ACCESS_DENIED", "The Host of the request is not this machine")
    is_from_page = "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none"
    if is_from_page:
        raise EngineError(497, "ACCESS_DENIED", "Requests from web pages are refused")


def _is_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _credentials(headers: Mapping[str, str]) -> tuple[str, str]:
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise EngineError(
                516, "AUTHENTICATION_FAILED", "Invalid authentication: broken Basic token"
            ) from error
        return user or "default", password
    return "default", ""


def _flag(values: Mapping[str, str], name: str, default: str = "0") -> bool:
    return values.get(name, default).lower() in _TRUE


def _number(values: Mapping[str, str], name: str, default: float) -> float:
    text = values.get(name, "")
    if not text:
        return default
    try:
        return float(text)
    except ValueError as error:
        raise EngineError(36, "BAD_ARGUMENTS", f"Invalid {name}: '{text}'") from error
