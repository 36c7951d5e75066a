"""Run one request's statement in a thread: read its rows from the client, write its answer to the client."""

import asyncio
import logging
import threading
import time
from contextlib import closing
from tempfile import TemporaryFile
from typing import IO

from aiohttp import web

from trailhouse.devstack.connections import Connections
from trailhouse.devstack.engine import Engine, EngineConnection, Work, quote_text
from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.compression import Decompressor, decompressor
from trailhouse.devstack.http.gathered_inserts import (
    GatheredInserts,
    may_be_gathered,
    wait_seconds_of,
)
from trailhouse.devstack.http.request import HttpQuery
from trailhouse.devstack.http.response import Answer
from trailhouse.devstack.statement import Statement, read_statement

logger = logging.getLogger(__name__)

MAX_STATEMENT_BYTES = 1_048_576
# Blocks of these formats may simply follow one another; every other format is made as a whole.
_STREAMED_FORMATS = frozenset(
    {
        "Native",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "RowBinary",
        "JSONEachRow",
    }
)
_STREAMED_VERBS = frozenset({"SELECT", "WITH", "FROM", "("})


class _ClientGoneError(ConnectionError):
    """The client closed its connection before its request was complete."""


class HttpJob:
    """One statement of one request; `run` belongs to a thread of its own, `cancel` to any."""

    def __init__(
        self,
        engine: Engine,
        connections: Connections,
        request: web.Request,
        query: HttpQuery,
        answer: Answer,
        gathered: GatheredInserts,
        small_body: bytes | None = None,
    ) -> None:
        """Prepare to run *query*; *small_body* is the request's whole body where that was read already."""
        self._engine = engine
        self._connections = connections
        self._gathered = gathered
        self._query = query
        self._answer = answer
        self._content = request.content
        self._loop = asyncio.get_running_loop()
        self._plain: Decompressor = decompressor(request.headers.get("Content-Encoding", ""))
        self._is_get = request.method in ("GET", "HEAD")
        self._small_body = small_body
        self._has_whole_body = False
        self._only_reads = False
        self._is_cancelled = threading.Event()

    def run(self) -> None:
        """Run the statement and answer it; a client that is gone is noted in the log, nothing else."""
        started = time.monotonic()
        try:
            try:
                self._run_statement()
                self._answer.finish(time.monotonic() - started)
            except EngineError as error:
                self._answer.fail(error, self._engine.version)
        except ConnectionError:
            self._answer.give_up()
            logger.info("the client of query %s is gone", self._query.query_id)

    def client_is_gone(self) -> None:
        """Cancel a statement that only reads, as ClickHouse does; one that writes goes on to its end."""
        if self._only_reads:
            self.cancel()

    def cancel(self) -> None:
        """Cancel the statement; returns at once."""
        self._is_cancelled.set()
        try:
            self._engine.kill(self._query.query_id)
        except EngineError as error:
            logger.warning("query %s cannot be cancelled: %s", self._query.query_id, error)

    def _run_statement(self) -> None:
        statement = self._read_statement()
        self._only_reads = statement.only_reads
        if not statement.verb and not statement.sql.strip():
            raise EngineError(62, "SYNTAX_ERROR", "Empty query")
        if statement.verb == "SET":
            # Each request has a connection of its own: an answer of success would be untrue.
            raise EngineError(
                48,
                "NOT_IMPLEMENTED",
                "There are no sessions here: give settings with each request, or in the statement",
            )
        settings = dict(self._query.settings)
        if self._is_get:
            # GET changes nothing, however `readonly` is spelled: it is set last, and nothing takes it back.
            settings["readonly"] = "1" if settings.pop("readonly", "") == "1" else "2"
        if statement.input_format is not None:
            settings |= {f"param_{name}": text for name, text in self._query.params.items()}
        with self._connections.prepared(
            self._query.query_id,
            self._query.database,
            settings,
            changes_nothing=statement.only_reads or statement.input_format is not None,
        ) as connection:
            self._execute(connection, statement)

    def _execute(self, connection: EngineConnection, statement: Statement) -> None:
        output_format = statement.output_format or self._query.default_format
        self._answer.name_format(output_format if statement.answers else None)
        if self._is_cancelled.is_set():
            raise EngineError(394, "QUERY_WAS_CANCELLED", "Query was cancelled.")
        if statement.input_format is not None:
            self._insert(connection, statement, statement.input_format)
        elif statement.verb in _STREAMED_VERBS and output_format in _STREAMED_FORMATS:
            with closing(
                connection.stream(statement.sql, output_format, self._query.params)
            ) as pieces:
                began = time.monotonic()
                for piece, work in pieces:
                    self._answer.add(piece, work)
                self._check_time(time.monotonic() - began)
        else:
            sql = (
                self._with_engine_ids(connection, statement)
                if statement.verb == "KILL"
                else statement.sql
            )
            self._answer.add(*connection.run(sql, output_format, self._query.params))

    def _check_time(self, elapsed_seconds: float) -> None:
        """Refuse an answer that took longer than it may: chdb may end such a stream early, as if it were whole."""
        try:
            limit_seconds = float(self._query.settings.get("max_execution_time", "0"))
        except ValueError:  # a form that the engine has understood and Python does not
            return
        is_cut_on_purpose = self._query.settings.get("timeout_overflow_mode") == "break"
        if 0 < limit_seconds <= elapsed_seconds and not is_cut_on_purpose:
            raise EngineError(
                159,
                "TIMEOUT_EXCEEDED",
                f"Timeout exceeded: elapsed {elapsed_seconds * 1_000:.3f} ms,"
                f" maximum: {limit_seconds * 1_000:g} ms",
            )

    def _insert(
        self, connection: EngineConnection, statement: Statement, input_format: str
    ) -> None:
        query = self._query

        def run(rows: IO[bytes]) -> Work:
            rows.flush()
            return connection.insert(statement.sql, statement.settings, input_format, rows.fileno())

        with TemporaryFile() as rows:
            rows.write(statement.data)
            while not self._has_whole_body:
                rows.write(self._next_piece())
            if may_be_gathered(input_format, query.settings):
                kind = (
                    *(query.database, statement.sql, statement.settings),
                    *(tuple(query.settings.items()), tuple(query.params.items())),
                )
                work = self._gathered.insert(kind, rows, run, wait_seconds_of(query.settings))
            else:
                work = run(rows)
        self._answer.add(b"", work)

    def _with_engine_ids(self, connection: EngineConnection, statement: Statement) -> bytes:
        answer, _ = connection.run(
            "SELECT Settings['log_comment'], query_id FROM system.processes", "TabSeparatedRaw"
        )
        sql = statement.sql
        for line in answer.decode().splitlines():
            ours, _, engines = line.partition("\t")
            if ours:
                sql = sql.replace(quote_text(ours).encode(), quote_text(engines).encode())
        return sql

    def _read_statement(self) -> Statement:
        head = self._query.query.encode() + b"\n" if self._query.query else b""
        statement = read_statement(head)
        if statement.input_format is None:
            while len(head) < MAX_STATEMENT_BYTES and not self._has_whole_body:
                head += self._next_piece()
            statement = read_statement(head)
        if statement.input_format is None and not self._has_whole_body:
            raise EngineError(
                62, "SYNTAX_ERROR", f"The statement is longer than {MAX_STATEMENT_BYTES} bytes"
            )
        return statement

    def _next_piece(self) -> bytes:
        if self._small_body is not None:
            piece, self._small_body = self._small_body, b""
        else:
            piece = asyncio.run_coroutine_threadsafe(self._read_body(), self._loop).result()
        if piece:
            return self._plain.feed(piece)
        self._has_whole_body = True
        self._plain.finish()
        return b""

    async def _read_body(self) -> bytes:
        try:
            return await self._content.readany()
        except Exception as error:  # aiohttp has a class of its own for each way a client can go
            raise _ClientGoneError(str(error)) from error
