"""What fails in the store, on the way to it or in ClickHouse, is told apart and said in one line."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from bad_servers import breaking_proxy, http_server
from stored import block_of, count, in_order, some_events
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import (
    StorageDataError,
    StorageLimitError,
    StorageOverloadedError,
    StorageRejectedError,
    StorageUnavailableError,
)
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.errors import (
    DATA_CODES,
    LIMIT_CODES,
    OVERLOAD_CODES,
    REFUSAL_CODES,
    storage_error,
)
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a fresh database that has every table."""
    with ClickHouse(database) as clickhouse:
        yield clickhouse


def test_a_clickhouse_that_is_away_is_worth_a_retry(clickhouse: ClickHouseConfig) -> None:
    """Nobody listens: one line that names the address, at once."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = msgspec.structs.replace(
            clickhouse, url=f"http://127.0.0.1:{unused.getsockname()[1]}", password="s3cret"
        )
    with pytest.raises(
        StorageUnavailableError,
        match=f"ClickHouse at {nowhere.url} does not answer: connection refused",
    ) as caught:
        ClickHouse(nowhere).insert(block_of(in_order(some_events(1))))
    assert "s3cret" not in str(caught.value)


def test_a_clickhouse_that_never_answers_is_left_in_time(clickhouse: ClickHouseConfig) -> None:
    """The wait is bounded by the settings."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = msgspec.structs.replace(
            clickhouse, url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1.0
        )
        with pytest.raises(StorageUnavailableError, match="no answer in time"):
            ClickHouse(config).ping()


def test_something_else_at_the_address_is_an_error_of_storage(clickhouse: ClickHouseConfig) -> None:
    """An HTTP server that is no ClickHouse is told in one line."""
    with (
        http_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello") as url,
        pytest.raises(StorageRejectedError, match="HTTP 404"),
    ):
        ClickHouse(msgspec.structs.replace(clickhouse, url=url)).ping()


def test_an_answer_that_makes_no_sense_is_an_error_of_storage(clickhouse: ClickHouseConfig) -> None:
    """A web page with status 200 is no ClickHouse."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with (
        http_server(page) as url,
        pytest.raises(StorageUnavailableError, match="is not ClickHouse's"),
    ):
        ClickHouse(msgspec.structs.replace(clickhouse, url=url)).ping()


def test_a_failure_prints_nothing_by_itself(clickhouse: ClickHouseConfig) -> None:
    """In a program that configures no logging the error is all there is to see."""
    program = (
        "from trailhouse.store import ClickHouseConfig\n"
        "from trailhouse.schemas.errors import StorageError\n"
        "from trailhouse.store import ClickHouse\n"
        f"for url in ('http://127.0.0.1:9', {clickhouse.url!r}):\n"
        "    try: ClickHouse(ClickHouseConfig(url=url)).query('SELECT * FROM nowhere.at_all')\n"
        "    except StorageError: print('caught')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("caught\ncaught\n", "")


def test_a_missing_table_is_permanent(clickhouse: ClickHouseConfig) -> None:
    """It has ClickHouse's code and name, and the way out."""
    with ClickHouse(clickhouse) as store:
        with pytest.raises(StorageRejectedError, match="run `trailhouse init`") as caught:
            store.insert(block_of(in_order(some_events(1))))
        assert (caught.value.code, caught.value.name) == (81, "UNKNOWN_DATABASE")
        migrate(clickhouse)
        store.command("DROP TABLE event_log")
        with pytest.raises(StorageRejectedError, match="run `trailhouse init`") as caught:
            store.insert(block_of(in_order(some_events(1))))
        assert (caught.value.code, caught.value.name) == (60, "UNKNOWN_TABLE")


def test_a_server_that_is_too_old_is_told(store: ClickHouse) -> None:
    """A setting of our tables that ClickHouse does not know says which version knows it."""
    with pytest.raises(StorageRejectedError, match=r"use ClickHouse 26\.9 or newer"):
        store.command(
            "CREATE TABLE later (n Int8) ENGINE = MergeTree ORDER BY n SETTINGS setting_of_tomorrow = 1"
        )


def test_a_block_that_the_table_refuses_is_not_acknowledged(store: ClickHouse) -> None:
    """What ClickHouse finds wrong after it has read the block is an error, and nothing is stored."""
    store.command("ALTER TABLE event_log ADD CONSTRAINT short CHECK length(session_id) < 10")
    refused = [*some_events(3), AuditEvent(type="x", session_id="a session of another length")]
    with pytest.raises(StorageRejectedError, match="VIOLATED_CONSTRAINT") as caught:
        store.insert(block_of(in_order(refused)))
    assert caught.value.code == 469
    assert count(store, "event_log") == 0
    store.insert(block_of(in_order(refused[:3])))
    assert count(store, "event_log") == 3


def test_a_message_holds_no_sql_and_no_values(store: ClickHouse) -> None:
    """What ClickHouse quotes stays in the chained cause."""
    with pytest.raises(StorageRejectedError) as caught:
        store.query("SELECT {name:String} FROM nowhere.at_all", {"name": "patient 4711"})
    assert "patient" not in str(caught.value)
    assert "SELECT" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_parts_are_worth_a_retry(store: ClickHouse) -> None:
    """They pass when the merges catch up."""
    store.command(
        "CREATE TABLE busy (n UInt8) ENGINE = MergeTree ORDER BY n"
        " SETTINGS parts_to_throw_insert = 1, parts_to_delay_insert = 1000"
    )
    store.command("SYSTEM STOP MERGES busy")
    store.command("INSERT INTO busy SELECT 1")
    with pytest.raises(StorageUnavailableError, match="TOO_MANY_PARTS"):
        store.command("INSERT INTO busy SELECT 1")


def test_a_long_statement_ends_in_clickhouse_before_we_stop_waiting(
    database: ClickHouseConfig,
) -> None:
    """`max_execution_time` stays below our own wait, so that nothing goes on behind our back."""
    hasty = ClickHouse(msgspec.structs.replace(database, timeout_seconds=2.0))
    with hasty, pytest.raises(StorageUnavailableError, match="TIMEOUT_EXCEEDED"):
        hasty.query("SELECT sum(cityHash64(number)) FROM numbers(1000000000000)")


def test_the_codes_have_clickhouse_s_names(store: ClickHouse) -> None:
    """The tables of codes are checked against the engine's own."""
    known = DATA_CODES | REFUSAL_CODES
    found = store.query(
        "SELECT code, errorCodeToName(code) FROM (SELECT arrayJoin({codes:Array(Int32)}) AS code)",
        {"codes": list(known)},
    )
    assert dict(found.rows) == known


def test_every_code_that_clickhouse_knows_is_decided(store: ClickHouse) -> None:
    """The data's fault, a refusal, or else worth a retry: each code is one of them, and is named."""
    found = store.query(
        "SELECT number, errorCodeToName(number) AS name FROM numbers(1, 5000) WHERE name != ''"
    ).rows
    assert len(found) > 600
    for code, name in found:
        text = f"Received ClickHouse exception, code: {code}, server response: Code: {code}. DB::Exception: x ({name})"
        error = storage_error(DatabaseError(text, code=code, name=name), store.config.url)
        assert type(error) is (
            StorageDataError
            if code in DATA_CODES
            else StorageRejectedError
            if code in REFUSAL_CODES
            else StorageOverloadedError
            if code in OVERLOAD_CODES
            else StorageLimitError
            if code in LIMIT_CODES
            else StorageUnavailableError
        )
        assert f"{name} ({code})" in str(error)


def test_an_insert_is_sent_once_when_the_connection_breaks(store: ClickHouse) -> None:
    """The client library would send it again by itself; we want to know, and to decide."""
    with breaking_proxy(store.config.url, break_at=b"INSERT") as (url, broken):
        through = ClickHouse(msgspec.structs.replace(store.config, url=url))
        through.ping()
        with pytest.raises(StorageUnavailableError, match="connection lost"):
            through.insert(block_of(in_order(some_events(1))))
        assert len(broken) == 1
        through.ping()
        through.close()
