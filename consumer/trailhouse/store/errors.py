"""What went wrong with ClickHouse, as a `StorageError`: try again, never try again, or the data is at fault.

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

from trailhouse.schemas.errors import (
    StorageDataError,
    StorageError,
    StorageLimitError,
    StorageOverloadedError,
    StorageRejectedError,
    StorageUnavailableError,
)

DATA_CODES = {
    6: "CANNOT_PARSE_TEXT",
    19: "SIZE_OF_FIXED_STRING_DOESNT_MATCH",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    407: "DECIMAL_OVERFLOW",
    441: "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING",
    467: "CANNOT_PARSE_BOOL",
    469: "VIOLATED_CONSTRAINT",
}
"""Refusals of what was to be stored: the same values are refused again. A test asks ClickHouse for the names."""

REFUSAL_CODES = {
    8: "THERE_IS_NO_COLUMN",
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    36: "BAD_ARGUMENTS",
    43: "ILLEGAL_TYPE_OF_ARGUMENT",
    46: "UNKNOWN_FUNCTION",
    47: "UNKNOWN_IDENTIFIER",
    48: "NOT_IMPLEMENTED",
    50: "UNKNOWN_TYPE",
    57: "TABLE_ALREADY_EXISTS",
    60: "UNKNOWN_TABLE",
    62: "SYNTAX_ERROR",
    80: "INCORRECT_QUERY",
    81: "UNKNOWN_DATABASE",
    115: "UNKNOWN_SETTING",
    164: "READONLY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    # No table or view of ours throws: it is somebody's own, and no fault of the event.
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    452: "SETTING_CONSTRAINT_VIOLATION",
    456: "UNKNOWN_QUERY_PARAMETER",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}
"""Refusals of the statement or of the user: permanent until somebody mends tables, rights or settings.

Every other code, one that ClickHouse has not thought of yet too, may pass by itself: it is retried.
"""

OVERLOAD_CODES = {
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    252: "TOO_MANY_PARTS",
    745: "SERVER_OVERLOADED",
}
"""Refusals of an insert for there being too many of them: fewer and larger ones help. 252 has a second meaning."""

LIMIT_CODES = {
    158: "TOO_MANY_ROWS",
    159: "TIMEOUT_EXCEEDED",
    241: "MEMORY_LIMIT_EXCEEDED",
    307: "TOO_MANY_BYTES",
    396: "TOO_MANY_ROWS_OR_BYTES",
}
"""A statement that was given up at a limit of its own or of the server: one that asks for less may pass."""

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
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO": "drop the view of somebody's own that throws (`trailhouse verify`)",
    "UNKNOWN_SETTING": "use ClickHouse 26.9 or newer",
    "NOT_ENOUGH_SPACE": "make room on its disk",
    "MEMORY_LIMIT_EXCEEDED": "give it more memory or ask for less",
    "TOO_MANY_PARTS": "its merges lag behind; wait, or look at system.merges",
}
_PARTITIONS_OF_A_BLOCK = re.compile(r"Too many partitions\b")
"""252 again, and not for there being too many parts: one block has rows of too many partitions, now and later."""
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
        return _answered(status, url)
    return _unanswered(error, url)


def _answered(status: int, url: str) -> StorageError:
    """Return what an answer without a code of ClickHouse means, as a proxy in front of it gives it."""
    if status in TRANSIENT_STATUSES:
        return StorageUnavailableError(
            f"ClickHouse at {url} is not available: HTTP {status}; try again later"
        )
    return StorageRejectedError(
        f"{url} answers HTTP {status} and not as ClickHouse does; check TRAILHOUSE_CLICKHOUSE_URL"
    )


def _unanswered(error: BaseException, url: str) -> StorageError:
    """Return what a connection that failed, an answer that broke off or the client itself means."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return StorageRejectedError(
            f"the certificate of ClickHouse at {url} is not trusted; check TRAILHOUSE_CLICKHOUSE_URL"
            " and TRAILHOUSE_CLICKHOUSE_SSL_CA_LOCATION"
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        # Which alert a server sends is not always seen: it may have closed the connection before.
        return StorageUnavailableError(
            f"TLS with ClickHouse at {url} fails; is TRAILHOUSE_CLICKHOUSE_URL right, and does it want a"
            " certificate of ours (TRAILHOUSE_CLICKHOUSE_SSL_CERTIFICATE_LOCATION)?"
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
    if code in DATA_CODES:
        return StorageDataError(
            f"ClickHouse at {url} refuses the data: {name or 'error'} ({code}); its log says more",
            code=code,
            name=name,
        )
    if code in REFUSAL_CODES:
        return StorageRejectedError(
            f"ClickHouse at {url} refuses: {name or 'error'} ({code}); {way_out or 'its log says more'}",
            code=code,
            name=name,
        )
    return _passing_kind(code, text)(
        f"ClickHouse at {url} is not available: {name or 'error'} ({code}); {way_out or 'try again later'}"
    )


def _passing_kind(code: int, text: str) -> type[StorageUnavailableError]:
    if code in LIMIT_CODES:
        return StorageLimitError
    is_overload = code in OVERLOAD_CODES and not _PARTITIONS_OF_A_BLOCK.search(text)
    return StorageOverloadedError if is_overload else StorageUnavailableError


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
    return code, name or DATA_CODES.get(code, "") or REFUSAL_CODES.get(code, "")


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
        (ConnectionError, "connection lost"),
    )
    for kind, text in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return text
    return "connection lost"
