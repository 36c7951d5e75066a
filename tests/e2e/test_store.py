"""The store against the real engine: what is inserted is there, and what fails is told apart."""

import datetime as dt
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stored import Placed, block_of, in_order
from trailhouse.schemas import AuditEvent, ClickHouseConfig
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError
from trailhouse.schemas.migrations import Migration, migrations
from trailhouse.store import BATCH_LEDGER, EVENT_LOG, EVENT_QUARANTINE, Block, ClickHouse, Table
from trailhouse.store.errors import TRANSIENT_CODES
from trailhouse.store.migrate import check, migrate, plan

pytestmark = pytest.mark.cluster

ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def store(database: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to a fresh database that has every table."""
    with ClickHouse(database) as clickhouse:
        yield clickhouse


def events(count: int, **fields: Any) -> list[AuditEvent]:
    """Return different events of one session."""
    return [
        AuditEvent(type="message_sent", session_id="s", data={"place": place}, **fields)
        for place in range(count)
    ]


def count(clickhouse: ClickHouse, table: str) -> int:
    """Return the number of rows in *table*."""
    return int(clickhouse.query(f"SELECT count() FROM {table}").rows[0][0])


# Tables


@pytest.mark.parametrize(
    "table", [EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER], ids=lambda table: table.name
)
def test_the_columns_we_write_are_those_of_the_tables(store: ClickHouse, table: Table) -> None:
    """`tables.py` and the migrations say the same."""
    found = store.query(
        "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
        " AND default_kind = '' ORDER BY position",
        {"database": store.config.database, "table": table.name},
    )
    assert [(name, kind) for name, kind in found.rows] == list(table.columns.items())


def test_an_acknowledged_row_is_on_the_disk(store: ClickHouse) -> None:
    """Every table that the worker writes is synced before an insert is acknowledged."""
    for table in (EVENT_LOG, EVENT_QUARANTINE, BATCH_LEDGER):
        sql = store.query(
            "SELECT create_table_query FROM system.tables WHERE database = {database:String} AND name = {table:String}",
            {"database": store.config.database, "table": table.name},
        ).rows[0][0]
        assert "fsync_after_insert = 1" in sql, table.name
        assert "fsync_part_directory = 1" in sql, table.name


# Inserts

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROWS: dict[str, st.SearchStrategy[Any]] = {
    "session_id": texts,
    "tenant_id": texts,
    "event_id": st.uuids().map(str),
    "record_hash": st.binary(min_size=16, max_size=16),
    "occurred_us": st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    "model": texts,
    "input_tokens": st.none() | st.integers(0, 2**64 - 1),
    "cost_usd": st.none()
    | st.integers(-(10**38) + 1, 10**38 - 1).map(lambda ticks: Decimal(f"{ticks}E-18")),
    "duration_ms": st.none() | st.floats(allow_nan=False),
    "schema_version": st.integers(0, 65_535),
    "record": st.binary(max_size=300),
    "kafka_offset": st.integers(0, 2**64 - 1),
    "appended_at": st.integers(0, 10_413_791_999_999),
}


def blanks(table: Table, rows: int, given_columns: dict[str, list[Any]]) -> Block:
    """Return a block with *given_columns*, and nothing in the others."""
    columns: dict[str, Sequence[Any]] = {}
    for name, kind in table.columns.items():
        blank: Any = None if kind.startswith("Nullable") else "" if "String" in kind else 0
        columns[name] = given_columns.get(name, [blank] * rows)
    return table.block(columns)


@ON_ONE_DATABASE
@given(
    rows=st.lists(
        st.fixed_dictionaries(ROWS), min_size=1, max_size=30, unique_by=lambda row: row["event_id"]
    )
)
def test_every_value_comes_back_as_it_was_written(
    store: ClickHouse, rows: list[dict[str, Any]]
) -> None:
    """Any text, any bytes, any number in the range of its column, absent values too."""
    store.command("TRUNCATE TABLE event_log")
    store.insert(blanks(EVENT_LOG, len(rows), {name: [row[name] for row in rows] for name in ROWS}))
    found = store.query(f"SELECT {', '.join(ROWS)} FROM event_log", bytes_columns=["record"])
    stored = {row[2]: dict(zip(found.names, row, strict=True)) for row in found.rows}
    for row in rows:
        milliseconds = dt.timedelta(milliseconds=row["appended_at"])
        expected = row | {"appended_at": dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + milliseconds}
        assert stored[row["event_id"]] == expected
    assert len(stored) == len(rows)


@ON_ONE_DATABASE
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "key": st.none() | st.binary(max_size=50),
                "record": st.none() | st.binary(max_size=300),
                "headers": st.lists(
                    st.tuples(texts, st.none() | st.binary(max_size=20)), max_size=4
                ),
                "reason": texts,
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_quarantined_record_keeps_every_byte(
    store: ClickHouse, rows: list[dict[str, Any]]
) -> None:
    """Key, record and headers come back byte for byte, and an absent one is told from an empty one."""
    store.command("TRUNCATE TABLE event_quarantine")
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    store.insert(
        blanks(EVENT_QUARANTINE, len(rows), columns | {"kafka_offset": list(range(len(rows)))})
    )
    found = store.query(
        "SELECT key, record, reason, arrayMap(h -> hex(h.1), headers), arrayMap(h -> hex(h.2), headers)"
        " FROM quarantine ORDER BY kafka_offset",
        bytes_columns=["key", "record"],
    )
    for row, (key, record, reason, names, values) in zip(rows, found.rows, strict=True):
        assert (key, record, reason) == (row["key"], row["record"], row["reason"])
        assert [bytes.fromhex(name).decode() for name in names] == [
            name for name, _ in row["headers"]
        ]
        assert [None if value is None else bytes.fromhex(value) for value in values] == [
            value for _, value in row["headers"]
        ]


def test_one_block_may_touch_every_month(store: ClickHouse) -> None:
    """Wild clocks: 360 monthly partitions and the two ends of time are one insert."""
    moments = [
        dt.datetime(year, month, 15, tzinfo=dt.UTC)
        for year in range(2020, 2050)
        for month in range(1, 13)
    ]
    moments += [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)]
    store.insert(
        block_of(
            [
                Placed(AuditEvent(type="x", session_id="s", occurred_at=moment), offset=place)
                for place, moment in enumerate(moments)
            ]
        )
    )
    assert count(store, "events") == len(moments)


def test_a_block_is_one_part_of_its_month(store: ClickHouse) -> None:
    """However fat, a block of one month is stored whole or not at all."""
    moment = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    store.command("SYSTEM STOP MERGES event_log")
    fat = [
        AuditEvent(
            type="x",
            session_id="s",
            occurred_at=moment,
            data={"text": "x" * 100_000, "place": place},
        )
        for place in range(400)
    ]
    store.insert(block_of(in_order(fat)))
    parts = store.query(
        "SELECT count() FROM system.parts WHERE database = {database:String} AND table = 'event_log' AND active",
        {"database": store.config.database},
    )
    assert parts.rows == [(1,)]


def test_a_repeated_block_is_seen_once(store: ClickHouse) -> None:
    """To repeat an insert of unknown outcome is harmless, merged or not."""
    block = block_of(in_order(events(50)))
    for _ in range(3):
        store.insert(block)
    assert count(store, "events") == 50
    store.command("OPTIMIZE TABLE event_log FINAL")
    assert count(store, "event_log") == 50


def test_of_two_copies_the_first_appended_is_seen(store: ClickHouse) -> None:
    """A producer's resend, stored first or last, does not move the event."""
    event = events(1)[0]
    first, second = (
        Placed(event, offset=7, appended_ms=1_760_000_000_000),
        Placed(event, offset=9, appended_ms=1_760_000_000_001),
    )
    for copies in ([first, second], [second, first]):
        store.command("TRUNCATE TABLE event_log")
        for copy in copies:
            store.insert(block_of([copy]))
        assert store.query("SELECT kafka_offset FROM events").rows == [(7,)]


def test_months_at_rest_are_read_without_merging(store: ClickHouse) -> None:
    """Totals over merged months cost no FINAL, since copies of a record never lie in two months."""
    for month in (1, 2, 3):
        moment = dt.datetime(2026, month, 1, tzinfo=dt.UTC)
        for first_offset in (0, 10):
            store.insert(block_of(in_order(events(10, occurred_at=moment), first_offset)))

    def merges() -> bool:
        plan = store.query("EXPLAIN PIPELINE SELECT type, count() FROM events GROUP BY type").rows
        return any("Replacing" in line for (line,) in plan)

    assert merges(), "months of several parts need merging"
    store.command("OPTIMIZE TABLE event_log FINAL")
    assert not merges()
    assert count(store, "events") == 60


def test_an_empty_block_is_no_statement(clickhouse: ClickHouseConfig) -> None:
    """Nothing to insert needs no ClickHouse."""
    nowhere = msgspec.structs.replace(clickhouse, url="http://127.0.0.1:9")
    ClickHouse(nowhere).insert(block_of(in_order(events(1))).rows(0, 0))


def test_a_connection_is_shared_between_threads(store: ClickHouse) -> None:
    """Sixteen threads insert and ask over one connection at the same time."""

    def work(number: int) -> int:
        store.insert(
            block_of(
                in_order(
                    [AuditEvent(type="x", session_id=f"s{number}") for _ in range(10)], number * 10
                )
            )
        )
        return int(
            store.query(
                "SELECT count() FROM events WHERE session_id = {s:String}", {"s": f"s{number}"}
            ).rows[0][0]
        )

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(48))) == [10] * 48
    assert count(store, "events") == 480


# Failures


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
        ClickHouse(nowhere).insert(block_of(in_order(events(1))))
    assert "s3cret" not in str(caught.value)


def test_a_clickhouse_that_never_answers_is_left_in_time(clickhouse: ClickHouseConfig) -> None:
    """The wait is bounded by the settings."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = msgspec.structs.replace(
            clickhouse, url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1.0
        )
        started = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="no answer in time"):
            ClickHouse(config).ping()
        assert time.monotonic() - started < 10


def test_something_else_at_the_address_is_an_error_of_storage(clickhouse: ClickHouseConfig) -> None:
    """An HTTP server that is no ClickHouse is told in one line."""
    with (
        _http_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello") as url,
        pytest.raises(StorageRejectedError, match="HTTP 404"),
    ):
        ClickHouse(msgspec.structs.replace(clickhouse, url=url)).ping()


def test_an_answer_that_makes_no_sense_is_an_error_of_storage(clickhouse: ClickHouseConfig) -> None:
    """A web page with status 200 is no ClickHouse."""
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with (
        _http_server(page) as url,
        pytest.raises(StorageUnavailableError, match="is not ClickHouse's"),
    ):
        ClickHouse(msgspec.structs.replace(clickhouse, url=url)).ping()


def test_a_failure_prints_nothing_by_itself(clickhouse: ClickHouseConfig) -> None:
    """In a program that configures no logging the error is all there is to see."""
    program = (
        "from trailhouse.schemas import ClickHouseConfig\n"
        "from trailhouse.schemas.errors import StorageError\n"
        "from trailhouse.store import ClickHouse\n"
        f"for url in ('http://127.0.0.1:9', {clickhouse.url!r}):\n"
        "    try: ClickHouse(ClickHouseConfig(url=url)).query('SELECT * FROM nowhere.at_all')\n"
        "    except StorageError: print('caught')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("caught\ncaught\n", "")


def test_a_missing_table_is_permanent(clickhouse: ClickHouseConfig) -> None:
    """It has ClickHouse's code and name, and the way out."""
    with ClickHouse(clickhouse) as store:
        with pytest.raises(StorageRejectedError, match="run `trailhouse init`") as caught:
            store.insert(block_of(in_order(events(1))))
        assert (caught.value.code, caught.value.name) == (81, "UNKNOWN_DATABASE")
        migrate(clickhouse)
        store.command("DROP TABLE event_log")
        with pytest.raises(StorageRejectedError, match="run `trailhouse init`") as caught:
            store.insert(block_of(in_order(events(1))))
        assert (caught.value.code, caught.value.name) == (60, "UNKNOWN_TABLE")


def test_a_message_holds_no_sql_and_no_values(store: ClickHouse) -> None:
    """What ClickHouse quotes stays in the chained cause."""
    with pytest.raises(StorageRejectedError) as caught:
        store.query("SELECT {name:String} FROM nowhere.at_all", {"name": "patient 4711"})
    assert "patient" not in str(caught.value)
    assert "SELECT" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_parts_and_too_many_partitions_are_told_apart(store: ClickHouse) -> None:
    """ClickHouse says 252 to both: one passes when merges catch up, the other never does."""
    store.command(
        "CREATE TABLE busy (n UInt8) ENGINE = MergeTree ORDER BY n"
        " SETTINGS parts_to_throw_insert = 1, parts_to_delay_insert = 1000"
    )
    store.command("SYSTEM STOP MERGES busy")
    store.command("CREATE TABLE many (n UInt8) ENGINE = MergeTree PARTITION BY n ORDER BY n")
    store.command("INSERT INTO busy SELECT 1")
    with pytest.raises(StorageUnavailableError, match="TOO_MANY_PARTS"):
        store.command("INSERT INTO busy SELECT 1")
    with pytest.raises(StorageRejectedError, match="252"):
        store.command(
            "INSERT INTO many SELECT number FROM numbers(20) SETTINGS max_partitions_per_insert_block = 5"
        )


def test_a_long_statement_ends_in_clickhouse_before_we_stop_waiting(
    database: ClickHouseConfig,
) -> None:
    """`max_execution_time` stays below our own wait, so that nothing goes on behind our back."""
    hasty = ClickHouse(msgspec.structs.replace(database, timeout_seconds=2.0))
    with hasty, pytest.raises(StorageUnavailableError, match="TIMEOUT_EXCEEDED"):
        hasty.query("SELECT sum(cityHash64(number)) FROM numbers(1000000000000)")


def test_the_transient_codes_have_clickhouse_s_names(store: ClickHouse) -> None:
    """The table of codes is checked against the engine's own."""
    found = store.query(
        "SELECT code, errorCodeToName(code) FROM (SELECT arrayJoin({codes:Array(Int32)}) AS code)",
        {"codes": list(TRANSIENT_CODES)},
    )
    assert dict(found.rows) == TRANSIENT_CODES


def test_an_insert_is_sent_once_when_the_connection_breaks(store: ClickHouse) -> None:
    """The client library would send it again by itself; we want to know, and to decide."""
    with _breaking_proxy(store.config.url, break_at=b"INSERT") as (url, broken):
        through = ClickHouse(msgspec.structs.replace(store.config, url=url))
        through.ping()
        with pytest.raises(StorageUnavailableError, match="connection lost"):
            through.insert(block_of(in_order(events(1))))
        assert len(broken) == 1
        through.ping()
        through.close()


# Migrations


def extra(number: int, *statements: str, name: str = "extra") -> Migration:
    """Return a migration after those of the package."""
    return Migration(number=number, name=name, sha256=uuid.uuid4().hex, statements=statements)


def tables(config: ClickHouseConfig) -> list[tuple[Any, ...]]:
    """Return name and definition of everything in the database."""
    with ClickHouse(config) as clickhouse:
        sql = "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} ORDER BY name"
        return clickhouse.query(sql, {"database": config.database}, in_database=False).rows


def test_a_migration_is_applied_once(clickhouse: ClickHouseConfig) -> None:
    """The plan says what will be done, the first call does it, the next does nothing."""
    with pytest.raises(StorageRejectedError, match="lacks migration 1; run `trailhouse init`"):
        check(clickhouse)
    planned = plan(clickhouse)
    assert tables(clickhouse) == []
    assert migrate(clickhouse) == planned
    assert [applied.number for applied in planned] == [
        migration.number for migration in migrations()
    ]
    assert plan(clickhouse) == ()
    assert migrate(clickhouse) == ()
    check(clickhouse)


def test_later_migrations_follow(database: ClickHouseConfig) -> None:
    """What was applied stays; what is new comes after it, in order."""
    known = [
        *migrations(),
        extra(
            2, "CREATE TABLE IF NOT EXISTS {database}.two (n UInt8) ENGINE = MergeTree ORDER BY n"
        ),
        extra(3, "ALTER TABLE {database}.two ADD COLUMN IF NOT EXISTS m UInt8"),
    ]
    assert [applied.number for applied in migrate(database, known)] == [2, 3]
    assert migrate(database, known) == ()


def test_every_migration_survives_being_cut_off_and_repeated(clickhouse: ClickHouseConfig) -> None:
    """After each statement of each migration a process may die: the next run ends in the same tables."""
    whole = msgspec.structs.replace(clickhouse, database=f"{clickhouse.database}_whole")
    migrate(whole)
    expected = [
        (name, sql.replace(whole.database, clickhouse.database)) for name, sql in tables(whole)
    ]
    with ClickHouse(clickhouse) as store:
        for migration in migrations():
            for done in range(len(migration.statements) + 1):
                store.command(
                    f"DROP DATABASE IF EXISTS {clickhouse.database} SYNC", in_database=False
                )
                store.command(f"CREATE DATABASE {clickhouse.database}", in_database=False)
                for statement in migration.statements[:done]:
                    store.command(statement.replace("{database}", clickhouse.database))
                migrate(clickhouse)
                assert tables(clickhouse) == expected, (
                    f"after {done} statements of migration {migration.number}"
                )


def test_two_processes_may_migrate_at_the_same_time(clickhouse: ClickHouseConfig) -> None:
    """Both return, and the tables and the ledger are as if there had been one."""
    barrier = threading.Barrier(4)

    def run(_: int) -> None:
        barrier.wait(10)
        migrate(clickhouse)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    check(clickhouse)
    with ClickHouse(clickhouse) as store:
        assert store.query("SELECT number FROM schema_migrations FINAL ORDER BY number").rows == [
            (m.number,) for m in migrations()
        ]


def test_an_edited_migration_is_refused(database: ClickHouseConfig) -> None:
    """What was applied is what the files say, or nothing starts; one line names the migration."""
    edited = [msgspec.structs.replace(migrations()[0], sha256="0" * 64)]
    for act in (migrate, plan, check):
        with pytest.raises(
            StorageRejectedError, match=r"was made by another version of migration 1 \(event_log\)"
        ) as caught:
            act(database, edited)
        assert "\n" not in str(caught.value)


def test_a_newer_database_is_refused(database: ClickHouseConfig) -> None:
    """An older trailhouse says which one the database needs, and touches nothing."""
    migrate(
        database,
        [
            *migrations(),
            extra(
                2, "CREATE VIEW IF NOT EXISTS {database}.two AS SELECT 1", name="from_the_future"
            ),
        ],
    )
    before = tables(database)
    for act in (migrate, plan, check):
        with pytest.raises(
            StorageRejectedError, match="needs trailhouse with migration 2, this one knows up to 1"
        ):
            act(database)
    assert tables(database) == before


def test_a_failed_migration_is_not_recorded(database: ClickHouseConfig) -> None:
    """When a statement fails the next run starts there again."""
    broken = [
        *migrations(),
        extra(
            2,
            "CREATE VIEW IF NOT EXISTS {database}.two AS SELECT 1",
            "DROP TABLE {database}.nothing",
        ),
    ]
    with pytest.raises(StorageRejectedError, match="UNKNOWN_TABLE"):
        migrate(database, broken)
    assert [applied.number for applied in plan(database, broken)] == [2]


def test_a_database_of_a_difficult_name_is_made(clickhouse: ClickHouseConfig) -> None:
    """A word of SQL is a legal name."""
    config = msgspec.structs.replace(clickhouse, database="select")
    migrate(config)
    check(config)
    with ClickHouse(config) as store:
        store.insert(block_of(in_order(events(3))))
        assert count(store, "events") == 3
        store.command("DROP DATABASE `select`", in_database=False)


# Servers that misbehave


@contextmanager
def _http_server(answer: bytes) -> Generator[str]:
    """Answer every request with *answer*."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def _breaking_proxy(target: str, break_at: bytes) -> Generator[tuple[str, list[bytes]]]:
    """Pass everything on, but reset a connection whose request holds *break_at*; list those requests."""
    address = urlsplit(target)
    broken: list[bytes] = []

    def pass_back(upstream: socket.socket, client: socket.socket) -> None:
        with client, upstream:
            while data := _received(upstream):
                client.sendall(data)

    def pass_on(client: socket.socket) -> None:
        upstream = socket.create_connection((address.hostname, address.port))
        threading.Thread(target=pass_back, args=(upstream, client), daemon=True).start()
        while data := _received(client):
            if break_at in data:
                broken.append(data)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                upstream.close()
                return
            upstream.sendall(data)
        upstream.close()

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=pass_on, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", broken
        server.shutdown(socket.SHUT_RDWR)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except OSError:
        return b""
