"""One ClickHouse over HTTP: run a statement, read rows, insert a block."""

import ipaddress
import logging
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.compression import get_compressor
from clickhouse_connect.driver.httpclient import HttpClient

from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.block import Block
from trailhouse.store.config import ClickHouseConfig
from trailhouse.store.errors import translated
from trailhouse.store.http_pool import HttpPool
from trailhouse.store.native_format import encode
from trailhouse.store.plain_settings import ask_plainly
from trailhouse.store.streamed import without_exception
from trailhouse.store.watched_statements import show_statement

# It warns of each failure that it also raises, and we raise on: without this, Python would print
# those warnings in programs that configure no logging. Where logging is configured they still show.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

MAX_CONNECT_SECONDS = 10.0
STREAM_BYTES = 1_048_576
SERVER_SHARE_OF_TIMEOUT = 0.8
"""A statement ends in ClickHouse before we stop waiting, so that none goes on behind our back."""

INSERT_SETTINGS = {
    "async_insert": "0",  # acknowledged means stored; the default is 1 since 26.2
    "max_insert_threads": "1",  # one block stays one part a partition
    "input_format_defaults_for_omitted_fields": "0",  # a block has every value: no default is looked up
    "optimize_on_insert": "0",  # copies within a block are met like those of two: by readers, and by a merge
    "wait_end_of_query": "1",  # no early 200: the status is that of the finished insert
}


ASYNC_INSERT_SETTINGS = INSERT_SETTINGS | {
    "async_insert": "1",
    "wait_for_async_insert": "1",  # acknowledged means written and synced, not taken into memory
    "deduplicate_insert": "disable",  # with asynchronous inserts it has lost rows: ClickHouse 111031
    "async_insert_use_adaptive_busy_timeout": "0",  # else the server waits as long as it finds right
}
"""For a server that gathers what many workers send at about the same time: one part for them all."""


class Result(NamedTuple):
    """Rows of a query, in the order ClickHouse gave them."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class ClickHouse:
    """A connection to one ClickHouse; safe to share between threads.

    Making one does no I/O: it connects with the first statement, and again after a failure. Every
    statement waits `timeout_seconds` of the settings at most. A context manager that closes itself.

    Names in a statement are looked up in the database of the settings.
    """

    def __init__(self, config: ClickHouseConfig) -> None:
        self.config = config
        self._client: HttpClient | None = None
        self._pool: HttpPool | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; a statement after this connects again."""
        with self._lock:
            # Taken out under the lock, closed outside of it: closing may wait for the network.
            client, self._client = self._client, None
            pool, self._pool = self._pool, None
        if client is not None:
            client.close()
        if pool is not None:
            pool.close()

    def ping(self) -> None:
        """Return when ClickHouse answers.

        Raises:
            StorageError: As for `query`.
        """
        self.query("SELECT 1", in_database=False)

    def version(self) -> str:
        """Return ClickHouse's version, such as ``26.9.2.1``.

        Raises:
            StorageError: As for `query`.
        """
        return str(self.query("SELECT version()", in_database=False).rows[0][0])

    def command(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, in_database: bool = True
    ) -> None:
        """Run a statement that returns no rows; when this returns, it has taken effect.

        Args:
            sql: One statement; values stand in it as ``{name:Type}``, never as text.
            parameters: Those values; ClickHouse binds them.
            in_database: Whether names are looked up in our database; False while there is none.

        Raises:
            StorageUnavailableError: Retriable; whether it took effect is unknown.
            StorageRejectedError: Permanent; it took no effect.
        """
        with translated(self.config.url):
            self._connected().command(
                sql, dict(parameters or {}), settings=self._settings(in_database)
            )

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        bytes_columns: Sequence[str] = (),
        in_database: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Result:
        """Return all rows of a SELECT. Times come back aware in UTC, a UUID as text, FixedString as bytes.

        Args:
            sql: One SELECT; values stand in it as ``{name:Type}``, never as text.
            parameters: Those values; ClickHouse binds them.
            bytes_columns: String columns to return as exact ``bytes`` and not as text.
            in_database: Whether names are looked up in our database; False while there is none.
            settings: Settings of ClickHouse for this statement, such as its limits.

        Raises:
            StorageUnavailableError: Retriable; a `StorageLimitError` where the statement met a limit of its
                settings or of the server.
            StorageRejectedError: Permanent.
        """
        show_statement(sql, parameters)
        with translated(self.config.url):
            answer = self._connected().query(
                sql,
                dict(parameters or {}),
                settings=self._limited(settings or {}, in_database),
                query_formats={"UUID": "string"},
                column_formats=dict.fromkeys(bytes_columns, "bytes"),
            )
            return Result(tuple(answer.column_names), [tuple(row) for row in answer.result_rows])

    def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        format: str,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[bytes]:
        """Yield the answer of a SELECT as ClickHouse writes it in *format*, piece by piece, of any length.

        It may take as long as it takes: only silence of `timeout_seconds` ends it.

        Raises:
            StorageError: As for `query`, also after some of it: what was yielded until then is no whole answer.
        """
        show_statement(sql, parameters)
        with translated(self.config.url):
            answer: Any = self._connected().raw_stream(
                sql,
                dict(parameters or {}),
                settings={
                    **self._settings(in_database=True),
                    "max_execution_time": "0",
                    **(settings or {}),
                },
                fmt=format,
            )
            try:
                tag = answer.headers.get("X-ClickHouse-Exception-Tag", "")
                yield from without_exception(answer.stream(STREAM_BYTES, decode_content=True), tag)
            finally:
                # One that was read to its end goes back to the pool; one that was not must not be used again.
                answer.close()
                answer.release_conn()

    def insert(self, block: Block, *, gather_seconds: float = 0.0) -> None:
        """Store *block*; when this returns, ClickHouse has written every row of it.

        All rows of one partition, a year, are stored or none. To repeat a block is harmless: readers
        see each row once.

        Args:
            block: The rows.
            gather_seconds: For so long the server waits for others' inserts into the table, which it stores together
                with these: one part for them all.

        Raises:
            StorageUnavailableError: Retriable; whether it was stored is unknown, so repeat the same block.
            StorageRejectedError: Permanent; ClickHouse refuses some of its rows, or all. With *gather_seconds* it
                may be another's row that it refuses: repeat the same block without.
            TypeError, ValueError, ArithmeticError: A value does not fit its column. A mistake of the program.
        """
        if block.row_count == 0:
            return
        body = encode(block)
        how = self._gathered(gather_seconds) if gather_seconds else INSERT_SETTINGS
        with translated(self.config.url):
            client = self._connected()
            client.raw_insert(
                f"`{block.table}`",
                block.names,
                # A memoryview, not bytes: clickhouse-connect sends bytes again by itself when the
                # connection breaks. To repeat is the caller's decision, and is counted there.
                memoryview(get_compressor(client.write_compression).compress_block(body)),  # type: ignore[arg-type]  # urllib3 takes any buffer
                settings={**self._settings(in_database=True), **how},
                fmt="Native",
                compression=client.write_compression,
            )

    def _gathered(self, seconds: float) -> dict[str, str]:
        wait_seconds = max(1, int(self.config.timeout_seconds * SERVER_SHARE_OF_TIMEOUT))
        return {
            **ASYNC_INSERT_SETTINGS,
            "async_insert_busy_timeout_max_ms": f"{max(1.0, seconds * 1_000):.0f}",  # never 0, which is refused
            # The server's answer comes before we stop waiting; its own default is two minutes.
            "wait_for_async_insert_timeout": f"{wait_seconds}",
        }

    def _limited(self, settings: Mapping[str, str], in_database: bool) -> dict[str, str]:
        """Return *settings* beside ours: no statement may take longer than this process waits."""
        ours = self._settings(in_database)
        longest = min(
            (
                each["max_execution_time"]
                for each in (ours, settings)
                if "max_execution_time" in each
            ),
            key=float,
        )
        return {**ours, **settings, "max_execution_time": longest}

    def _settings(self, in_database: bool) -> dict[str, str]:
        database = {"database": self.config.database} if in_database else {}
        return {
            "max_execution_time": f"{self.config.timeout_seconds * SERVER_SHARE_OF_TIMEOUT:.3f}"
        } | database

    def _connected(self) -> HttpClient:
        with self._lock:
            if self._client is None:
                pool = HttpPool(self.config)
                try:
                    self._client = _connect(self.config, pool)
                except BaseException:
                    pool.close()
                    raise
                self._pool = pool
            return self._client


def _connect(config: ClickHouseConfig, pool: HttpPool) -> HttpClient:
    address = urlsplit(config.url)
    connect_seconds = min(config.timeout_seconds, MAX_CONNECT_SECONDS)
    # Without a database: it need not exist yet, and each statement names the one it means.
    client: Client = clickhouse_connect.get_client(
        interface=address.scheme,
        host=address.hostname,
        port=address.port or (8443 if address.scheme == "https" else 8123),
        username=config.user,
        password=config.password,
        compress=not _is_on_this_machine(config.url),
        connect_timeout=math.ceil(connect_seconds),
        send_receive_timeout=math.ceil(config.timeout_seconds),
        autogenerate_session_id=False,  # a session would allow one statement at a time
        pool_mgr=pool,
        # Given by name, it is what logs the user in; with a password it only opens the connection.
        client_cert=None if config.password else config.ssl_certificate_location or None,
        tz_mode="aware",
        native_codec="python",
        client_name="trailhouse",
    )
    if not isinstance(client, HttpClient):
        raise StorageUnavailableError(f"no HTTP client for {config.url}")
    # Whoever calls repeats, and counts it.
    client.http_retries = 0
    client.timeout = urllib3.Timeout(connect=connect_seconds, read=config.timeout_seconds)
    try:
        ask_plainly(client)
    except BaseException:
        client.close()
        raise
    return client


def _is_on_this_machine(url: str) -> bool:
    """Tell whether compressing costs more than it saves."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
