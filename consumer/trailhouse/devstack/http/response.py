"""The answer to one statement, written by the thread that runs it and sent by the event loop.

Nothing is sent before the first `buffer_bytes` are there, so an early failure still gets its own
status; a later one is appended between the markers that clients of ClickHouse look for.
"""

import asyncio
import json
import secrets
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from trailhouse.devstack.engine import Work
from trailhouse.devstack.engine_error import EngineError
from trailhouse.devstack.http.compression import Compressor, choose_coding, compressor
from trailhouse.devstack.http.request import HttpQuery

_T = TypeVar("_T")
_IN_MEMORY_BYTES = 16_777_216
_PIECE_BYTES = 1_048_576
_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
}


class Answer:
    """One HTTP answer. Methods that are no coroutines block their thread, which must not be the loop's."""

    def __init__(
        self, request: web.Request, query: HttpQuery, server_headers: dict[str, str]
    ) -> None:
        self._request = request
        self._query = query
        self._loop = asyncio.get_running_loop()
        self._headers = server_headers | {"X-ClickHouse-Query-Id": query.query_id}
        self._coding = (
            choose_coding(request.headers.get("Accept-Encoding", ""))
            if query.may_compress
            else None
        )
        self._compressor: Compressor | None = compressor(self._coding) if self._coding else None
        self._waiting = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed in close()
        self._tag = secrets.token_hex(8)
        self._work = Work()
        self._status = 200
        self.response: web.StreamResponse | None = None

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        return self._request.transport is not None and not self._request.transport.is_closing()

    def name_format(self, output_format: str | None) -> None:
        """Say in which format the rows will be; None for a statement that returns none."""
        if output_format is not None:
            self._headers["X-ClickHouse-Format"] = output_format
            self._headers["Content-Type"] = _CONTENT_TYPES.get(
                output_format, "text/plain; charset=UTF-8"
            )

    def add(self, piece: bytes, work: Work) -> None:
        """Append to the body. Raises `ConnectionError` when the client is gone."""
        self._work += work
        self._write(self._compressor.feed(piece) if self._compressor else piece)

    def finish(self, elapsed_seconds: float) -> None:
        """End the answer: send what is begun, or leave a whole one to `deliver`.

        Raises `ConnectionError` when the client is gone.
        """
        is_empty = (
            self.response is None and self._work.result_bytes == 0 and self._waiting.tell() == 0
        )
        if self._compressor and not is_empty:
            self._write(self._compressor.finish())
        if self.response is None:
            self._headers["X-ClickHouse-Summary"] = self._summary(elapsed_seconds)
            if is_empty:
                self._coding = None
        else:
            self._await(self.response.write_eof())

    def fail(self, error: EngineError, version: str) -> None:
        """End the answer with an error. Raises `ConnectionError` when the client is gone."""
        body = error.body(version).encode()
        if self.response is not None:
            head = f"\r\n__exception__\r\n{self._tag}\r\n".encode()
            tail = f"{len(body)} {self._tag}\r\n__exception__\r\n".encode()
            piece = head + body + tail
            self._write(
                self._compressor.feed(piece) + self._compressor.finish()
                if self._compressor
                else piece
            )
            self._await(self.response.write_eof())
            return
        self._waiting.seek(0)
        self._waiting.truncate()
        self._headers["X-ClickHouse-Exception-Code"] = str(error.code)
        self._headers["Content-Type"] = "text/plain; charset=UTF-8"
        self._waiting.write(body)
        self._coding, self._status = None, error.status

    async def deliver(self) -> web.StreamResponse:
        """Send an answer that fits into one piece, once its job is done; in the event loop's thread."""
        return self.response or await self._send(is_whole=True)

    def close(self) -> None:
        """Free what the answer holds."""
        self._waiting.close()

    def _write(self, piece: bytes) -> None:
        if self.response is not None:
            if piece:
                self._await(self.response.write(piece))
            return
        self._waiting.write(piece)
        if not self._query.waits_for_end and self._waiting.tell() >= self._query.buffer_bytes:
            self._headers["X-ClickHouse-Summary"] = self._summary(0.0)
            self._headers["X-ClickHouse-Exception-Tag"] = self._tag
            self._await(self._send(is_whole=False))

    def give_up(self) -> None:
        """Leave `deliver` nothing to send: the client is gone."""
        self.response = self.response or web.Response(status=500)

    async def _send(self, *, is_whole: bool) -> web.StreamResponse:
        """Send the headers and what waits."""
        if self._coding:
            self._headers["Content-Encoding"] = self._coding
        size_bytes = self._waiting.tell()
        self._waiting.seek(0)
        response = self.response = web.StreamResponse(status=self._status, headers=self._headers)
        if is_whole:
            response.content_length = size_bytes
        await response.prepare(self._request)
        while piece := self._waiting.read(_PIECE_BYTES):
            await response.write(piece)
        if is_whole:
            await response.write_eof()
        return response

    def _await(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _summary(self, elapsed_seconds: float) -> str:
        numbers = {name: str(number) for name, number in self._work._asdict().items()}
        return json.dumps(
            numbers | {"total_rows_to_read": "0", "elapsed_ns": str(int(elapsed_seconds * 1e9))}
        )
