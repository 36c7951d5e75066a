"""What went wrong with ClickHouse, as one of our two errors: try again, or never try again.

The one place where an error of clickhouse-connect, of the network or of ClickHouse itself becomes
ours. The message is one line that says where, what and the way out; it never holds SQL, values or
ClickHouse's own text, which quotes both. That text stays in the chained cause.
"""

import http.client
import re
import ssl
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import urllib3
from clickhouse_connect.driver import exceptions as driver

from trailhouse.schemas.errors import StorageError, StorageRejectedError, StorageUnavailableError

TRANSIENT_CODES = {
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    290: "LIMIT_EXCEEDED",
    319: "UNKNOWN_STATUS_OF_INSERT",
    369: "ALL_REPLICAS_ARE_STALE",
    373: "SESSION_IS_LOCKED",
    384: "PART_IS_TEMPORARILY_LOCKED",
    394: "QUERY_WAS_CANCELLED",
    415: "ALL_REPLICAS_LOST",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    499: "S3_ERROR",
    692: "TOO_MANY_MUTATIONS",
    735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    999: "KEEPER_EXCEPTION",
}
"""Errors that pass by themselves or once an operator has made room; a test asks ClickHouse for the names."""

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP answers without a code of ClickHouse, as a proxy in front of it gives them."""

_WAYS_OUT = {
    "UNKNOWN_DATABASE": "run `trailhouse init`",
    "UNKNOWN_TABLE": "run `trailhouse init`",
    "AUTHENTICATION_FAILED": "check TRAILHOUSE_CLICKHOUSE_USER and TRAILHOUSE_CLICKHOUSE_PASSWORD",
    "REQUIRED_PASSWORD": "check TRAILHOUSE_CLICKHOUSE_USER and TRAILHOUSE_CLICKHOUSE_PASSWORD",
    "UNKNOWN_USER": "check TRAILHOUSE_CLICKHOUSE_USER and TRAILHOUSE_CLICKHOUSE_PASSWORD",
    "WRONG_PASSWORD": "check TRAILHOUSE_CLICKHOUSE_USER and TRAILHOUSE_CLICKHOUSE_PASSWORD",
    "ACCESS_DENIED": "grant the user of TRAILHOUSE_CLICKHOUSE_USER what it needs",
    "READONLY": "the user of TRAILHOUSE_CLICKHOUSE_USER may only read",
    "UNKNOWN_SETTING": "use ClickHouse 26.9 or newer",
    "NOT_ENOUGH_SPACE": "make room on its disk",
    "MEMORY_LIMIT_EXCEEDED": "give it more memory or ask for less",
    "TOO_MANY_PARTS": "its merges lag behind; wait, or look at system.merges",
}
_CODE = re.compile(r"\bCode:\s*(\d+)|\bcode: (\d+)")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,})\)")
_STATUS = re.compile(r"HTTP status (\d{3})")
_GRANT = re.compile(r"(?:have|of) the grants? ([A-Z][\w ,()`.*-]*?)\. ?\(")
_SETTING = re.compile(r"Setting (\w+) (?:is readonly|should)|Cannot modify '(\w+)' setting")

DRIVER_ERRORS = (driver.ClickHouseError, driver.StreamCompleteException)
"""Every exception of clickhouse-connect; a test enumerates them."""

_TRANSPORT_ERRORS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@contextmanager
def translated(url: str) -> Generator[None]:
    """Raise what fails inside as a `StorageError`, cause chained; *url* is named in the message.

    Raises:
        StorageUnavailableError: Retriable; the outcome of a write is unknown.
        StorageRejectedError: Permanent; nothing was written.
    """
    try:
        yield
    except (*DRIVER_ERRORS, *_TRANSPORT_ERRORS) as error:
        raise storage_error(error, url) from error


def storage_error(error: BaseException, url: str) -> StorageError:
    """Return what *error* of clickhouse-connect or of the network means for the caller."""
    code, name = _code_and_name(error)
    if found := _SETTING.search(str(error)):
        return StorageRejectedError(
            f"ClickHouse at {url} refuses: the profile of TRAILHOUSE_CLICKHOUSE_USER forbids to set"
            f" {found[1] or found[2]}; give it a profile with readonly 0 or 2 and without that constraint",
            code=code,
            name=name,
        )
    if code:
        return _refusal(code, name, str(error), url)
    if status := _http_status(error):
        if status in TRANSIENT_STATUSES:
            return StorageUnavailableError(
                f"ClickHouse at {url} is not available: HTTP {status}; try again later"
            )
        return StorageRejectedError(
            f"{url} answers HTTP {status} and not as ClickHouse does; check TRAILHOUSE_CLICKHOUSE_URL"
        )
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return StorageRejectedError(
            f"the certificate of ClickHouse at {url} is not trusted; check TRAILHOUSE_CLICKHOUSE_URL"
        )
    if any(isinstance(cause, _TRANSPORT_ERRORS) for cause in causes):
        return StorageUnavailableError(
            f"ClickHouse at {url} does not answer: {_reason(causes)};"
            " is it running, and is TRAILHOUSE_CLICKHOUSE_URL right?"
        )
    if _is_strange_answer(error):
        return StorageUnavailableError(
            f"the answer of {url} broke off, or is not ClickHouse's; is TRAILHOUSE_CLICKHOUSE_URL right?"
        )
    return StorageRejectedError(
        f"ClickHouse at {url} cannot do this: {type(error).__name__} of the client library"
    )


def _refusal(code: int, name: str, text: str, url: str) -> StorageError:
    way_out = _WAYS_OUT.get(name)
    if name == "ACCESS_DENIED" and (missing := _GRANT.search(text)):
        way_out = f"grant {missing[1]} to the user of TRAILHOUSE_CLICKHOUSE_USER"
    # 252 is also "too many partitions for a single INSERT block", which no waiting mends.
    if code in TRANSIENT_CODES and not (code == 252 and "partitions for single INSERT" in text):
        return StorageUnavailableError(
            f"ClickHouse at {url} is not available: {name or 'error'} ({code}); {way_out or 'try again later'}"
        )
    return StorageRejectedError(
        f"ClickHouse at {url} refuses: {name or 'error'} ({code}); {way_out or 'its log says more'}",
        code=code,
        name=name,
    )


def _code_and_name(error: BaseException) -> tuple[int, str]:
    """Return ClickHouse's code and name; 0 and an empty name when it gave none."""
    text = str(error)
    code = error.code if isinstance(error, driver.Error) else None
    if code is None and (found := _CODE.search(text)):
        code = int(found[1] or found[2])
    if not code:
        return 0, ""
    name = error.name if isinstance(error, driver.Error) and error.name else ""
    if not name and (names := _NAME.findall(text)):
        name = str(names[-1])
    return code, name or TRANSIENT_CODES.get(code, "")


def _http_status(error: BaseException) -> int:
    found = _STATUS.search(str(error)) if isinstance(error, driver.Error) else None
    return int(found[1]) if found else 0


def _is_strange_answer(error: BaseException) -> bool:
    """Tell whether the answer broke off or made no sense; what was asked may have happened."""
    return isinstance(error, (driver.OperationalError, driver.StreamCompleteException))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending += [
                cause.__context__,
                cause.__cause__,
                getattr(cause, "reason", None),
                *cause.args,
            ]


def _reason(causes: list[BaseException]) -> str:
    kinds = (
        (ConnectionRefusedError, "connection refused"),
        (urllib3.exceptions.NameResolutionError, "its name cannot be resolved"),
        (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
        (urllib3.exceptions.ReadTimeoutError, "no answer in time"),
        (TimeoutError, "no answer in time"),
        (ssl.SSLError, "TLS failed"),
        (ConnectionError, "connection lost"),
    )
    for kind, text in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return text
    return "connection lost"
