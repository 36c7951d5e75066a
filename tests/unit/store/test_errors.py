"""Every failure of ClickHouse, its client or the network is one of two errors, said in one clean line."""

import inspect
import ssl
import urllib.error

import pytest
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
from trailhouse.store.errors import (
    DATA_CODES,
    LIMIT_CODES,
    OVERLOAD_CODES,
    REFUSAL_CODES,
    storage_error,
    translated,
)

URL = "http://127.0.0.1:8123"
SECRET = "SELECT 'patient 4711' FROM t"


def driver_exceptions() -> list[type[Exception]]:
    """Return every exception class that clickhouse-connect defines."""
    members = inspect.getmembers(
        driver, lambda member: inspect.isclass(member) and issubclass(member, Exception)
    )
    return [kind for _, kind in members if kind.__module__ == driver.__name__]


def made(kind: type[Exception]) -> Exception:
    """Return an instance whose text holds what must not leak."""
    without_text: tuple[type[Exception], ...] = (driver.StreamClosedError,)
    return kind() if kind in without_text else kind(SECRET)


def answer(code: int, name: str, text: str = SECRET) -> str:
    """Return what the client library makes of an error of ClickHouse."""
    return f"Received ClickHouse exception, code: {code}, server response: Code: {code}. DB::Exception: {text} ({name})"


def test_there_are_exceptions_to_map() -> None:
    """The list that the next test goes through is not empty by mistake."""
    assert len(driver_exceptions()) >= 13


@pytest.mark.parametrize("kind", driver_exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_library_is_mapped(kind: type[Exception]) -> None:
    """None escapes as itself, and the cause is kept."""
    error = made(kind)
    with pytest.raises(StorageError) as caught, translated(URL):
        raise error
    assert type(caught.value) in (StorageUnavailableError, StorageRejectedError)
    assert caught.value.__cause__ is error
    assert URL in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("no"),
        TimeoutError("late"),
        urllib3.exceptions.ProtocolError("cut", ConnectionResetError()),
        urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("h"), "/", "late"),
        urllib3.exceptions.IncompleteRead(1, 2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_of_the_network_is_worth_a_retry(error: Exception) -> None:
    """Whatever the network does, the same statement may succeed later."""
    with pytest.raises(StorageUnavailableError, match="does not answer"), translated(URL):
        raise error


PASSING = {
    107: "FILE_DOESNT_EXIST", 173: "CANNOT_ALLOCATE_MEMORY", 201: "QUOTA_EXCEEDED",
    1001: "STD_EXCEPTION", 54321: "AN_ERROR_OF_TOMORROW",
}  # fmt: skip


@pytest.mark.parametrize("code", PASSING)
def test_what_may_pass_by_itself_is_worth_a_retry(code: int) -> None:
    """A code that is known neither as the data's fault nor as a refusal is retriable and named."""
    name = PASSING[code]
    error = storage_error(driver.DatabaseError(answer(code, name), code=code, name=name), URL)
    assert type(error) is StorageUnavailableError
    assert f"{name} ({code})" in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize("code", LIMIT_CODES)
def test_a_statement_given_up_at_a_limit_is_told_from_an_outage(code: int) -> None:
    """ClickHouse is there, and a statement that asks for less may pass: retriable, and a kind of its own."""
    name = LIMIT_CODES[code]
    error = storage_error(driver.DatabaseError(answer(code, name), code=code, name=name), URL)
    assert type(error) is StorageLimitError
    assert f"{name} ({code})" in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize("code", OVERLOAD_CODES)
def test_a_refusal_for_there_being_too_many_is_told_from_an_outage(code: int) -> None:
    """ClickHouse is there, and wants fewer inserts: it is retriable, and a kind of its own."""
    name = OVERLOAD_CODES[code]
    text = f"Too many parts (3000 with average size of 1.00 MiB) in table {SECRET}"
    error = storage_error(driver.DatabaseError(answer(code, name, text), code=code, name=name), URL)
    assert type(error) is StorageOverloadedError
    assert f"{name} ({code})" in str(error)
    assert SECRET not in str(error)


def test_a_block_of_too_many_partitions_is_no_overload() -> None:
    """ClickHouse has one code for both, and no larger block would help."""
    text = "Too many partitions for single INSERT block (more than 100). The limit is controlled"
    error = storage_error(driver.DatabaseError(answer(252, "TOO_MANY_PARTS", text), code=252), URL)
    assert type(error) is StorageUnavailableError


@pytest.mark.parametrize("code", DATA_CODES)
def test_a_refused_value_is_told_from_a_refused_statement(code: int) -> None:
    """Only a refusal of what was to be stored can put a record into quarantine."""
    assert code not in REFUSAL_CODES
    error = storage_error(driver.DatabaseError(answer(code, DATA_CODES[code]), code=code), URL)
    assert isinstance(error, StorageDataError)
    assert (error.code, error.name) == (code, DATA_CODES[code])
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("code", "name", "way_out"),
    [
        (60, "UNKNOWN_TABLE", "trailhouse init"),
        (81, "UNKNOWN_DATABASE", "trailhouse init"),
        (516, "AUTHENTICATION_FAILED", "TRAILHOUSE_CLICKHOUSE_USER"),
        (497, "ACCESS_DENIED", "grant"),
        (62, "SYNTAX_ERROR", "log"),
    ],
)
def test_a_refusal_is_permanent_and_says_the_way_out(code: int, name: str, way_out: str) -> None:
    """Code and name are attributes, the way out is in the message, the text of ClickHouse is not."""
    text = answer(code, name)
    error = storage_error(driver.DatabaseError(text, code=code), URL)
    assert isinstance(error, StorageRejectedError)
    assert (error.code, error.name) == (code, name)
    assert way_out in str(error)
    assert SECRET not in str(error)
    assert "\n" not in str(error)


def test_a_missing_grant_is_named() -> None:
    """ClickHouse says which grant is missing, and of its text we repeat that alone."""
    text = answer(
        497,
        "ACCESS_DENIED",
        f"{SECRET}: Not enough privileges. To execute this query, it's necessary to have the grant"
        " SELECT(session_id, record) ON trailhouse.events. (ACCESS_DENIED)",
    )
    error = storage_error(driver.DatabaseError(text, code=497), URL)
    assert "grant SELECT(session_id, record) ON trailhouse.events to the user" in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    "error",
    [
        driver.ProgrammingError("Setting max_execution_time is readonly"),
        driver.DatabaseError(
            answer(452, "SETTING_CONSTRAINT_VIOLATION", "Setting max_execution_time should not be changed.")
        ),
        driver.DatabaseError(
            answer(452, "SETTING_CONSTRAINT_VIOLATION", "Setting max_execution_time shouldn't be greater than 2.")
        ),
        driver.DatabaseError(
            answer(164, "READONLY", "Cannot modify 'max_execution_time' setting in readonly mode.")
        ),
    ],
    ids=["client", "pinned", "bounded", "readonly"],
)  # fmt: skip
def test_a_setting_that_a_profile_forbids_is_named(error: Exception) -> None:
    """Whoever refuses a setting, client or server, the line names it and the way out."""
    told = storage_error(error, URL)
    assert isinstance(told, StorageRejectedError)
    assert "forbids to set max_execution_time; give it a profile" in str(told)


def test_a_code_is_found_in_the_middle_of_a_stream() -> None:
    """An error that breaks off an answer carries its code in the text alone."""
    error = storage_error(
        driver.StreamFailureError(f"Code: 241. DB::Exception: {SECRET} (MEMORY_LIMIT_EXCEEDED)"),
        URL,
    )
    assert isinstance(error, StorageUnavailableError)
    assert "MEMORY_LIMIT_EXCEEDED (241)" in str(error)


@pytest.mark.parametrize(
    ("status", "is_retriable"),
    [(429, True), (502, True), (503, True), (504, True), (404, False), (401, False)],
)
def test_an_answer_without_a_code_goes_by_its_status(status: int, is_retriable: bool) -> None:
    """A proxy in front of ClickHouse is believed by its HTTP status."""
    error = storage_error(
        driver.DatabaseError(
            f"HTTP driver received HTTP status {status}, server response: {SECRET}"
        ),
        URL,
    )
    assert error.retriable is is_retriable
    assert f"HTTP {status}" in str(error)


def test_a_certificate_that_is_not_trusted_is_permanent() -> None:
    """No retry makes a certificate good."""
    cause = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed"))
    with pytest.raises(StorageRejectedError, match="not trusted"), translated(URL):
        raise driver.OperationalError("Error executing HTTP request") from cause


def test_errors_of_the_program_are_left_alone() -> None:
    """A mistake of ours is not dressed up as a failure of ClickHouse."""
    with pytest.raises(ZeroDivisionError), translated(URL):
        raise ZeroDivisionError
    with pytest.raises(StorageError), translated(URL):
        raise urllib.error.URLError("an OSError all the same")
