"""Two proxies that break things: one knows bytes and connections, the other whole HTTP requests."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus, urlsplit

from trailhouse.devstack.engine_error import EngineError

CHUNK_BYTES = 16_384
SLOW_BYTES_PER_SECOND = 1_024
HELD_SECONDS = 120.0
NetworkFault = Literal["none", "reset", "half_close", "truncate", "blackhole", "latency", "slow"]


def _reset(connection: socket.socket) -> None:
    """End a connection with a RST and not with a FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class TcpProxy:
    """Passes bytes on to a server and harms them as `fault` says; `hits` counts how often.

    ``reset``: a request is broken off by RST after `after_bytes`. ``half_close``: the server sees the
    end of the request there. ``truncate``: the answer ends after 20 bytes. ``blackhole``: connections
    are taken and nothing passes. ``latency``: each piece waits `latency_seconds`. ``slow``: 1 KB/s.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.fault: NetworkFault = "none"
        self.after_bytes = 400
        self.latency_seconds = 1.0
        self.hits = 0
        self._is_closed = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens, as ClickHouse's URL."""
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        """Pass everything on from now; connections that a fault has in its hand are broken."""
        self.fault = "none"
        self.break_all()

    def break_all(self) -> None:
        """Break every connection."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and break everything."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                fault = self.fault
                if fault in ("reset", "half_close") and b"INSERT" in data[:2_000]:
                    self.hits += 1
                    server.sendall(data[: self.after_bytes])
                    if fault == "reset":
                        _reset(client)
                        _reset(server)
                        return
                    server.shutdown(socket.SHUT_WR)
                    continue
                self._delay(len(data))
                if not self._is_swallowed():
                    server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if self.fault == "truncate":
                    self.hits += 1
                    client.sendall(data[:20])
                    break
                self._delay(len(data))
                if not self._is_swallowed():
                    client.sendall(data)
        for one in (server, client):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _is_swallowed(self) -> bool:
        if self.fault != "blackhole":
            return False
        self.hits += 1
        return True

    def _delay(self, size_bytes: int) -> None:
        if self.fault == "latency":
            self.hits += 1
            self._pause(self.latency_seconds, "latency")
        elif self.fault == "slow":
            self.hits += 1
            self._pause(size_bytes / SLOW_BYTES_PER_SECOND, "slow")

    def _pause(self, seconds: float, fault: NetworkFault) -> None:
        end = time.monotonic() + seconds
        while self.fault == fault and not self._is_closed and time.monotonic() < end:
            threading.Event().wait(0.02)


class Refusal(NamedTuple):
    """An answer that the proxy gives itself."""

    status: int
    headers: dict[str, str]
    body: bytes


def clickhouse_error(code: int, name: str, text: str, version: str = "26.9.2.1") -> Refusal:
    """Return ClickHouse's own answer for an error: status, header and text as it writes them."""
    error = EngineError(code, name, text)
    headers = {
        "X-ClickHouse-Exception-Code": str(code),
        "Content-Type": "text/plain; charset=UTF-8",
    }
    return Refusal(error.status, headers, error.body(version).encode())


def http_status(status: int) -> Refusal:
    """Return what a proxy in front of ClickHouse answers: a status and a word of its own."""
    return Refusal(status, {"Content-Type": "text/html", "Retry-After": "1"}, b"<h1>busy</h1>")


Action = Refusal | Literal["pass", "drop_reply", "hold"]
Rule = Callable[[str], Action]
"""Called with the decoded query of each request; says what becomes of it."""


class HttpProxy:
    """Reads whole requests, asks its `rule`, and passes them on, answers them itself, or keeps them.

    ``drop_reply``: ClickHouse carries the request out, and the client gets a RST. ``hold``: the request
    reaches ClickHouse when `release` is called, even though its client has long given up.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.target = (address.hostname or "127.0.0.1", address.port or 80)
        self.rule: Rule = lambda _: "pass"
        self.refused = 0
        self.dropped = 0
        self.held = 0
        self.late = 0
        self.released = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def release(self) -> None:
        """Let what is held go to ClickHouse."""
        self.released.set()

    def close(self) -> None:
        """Stop serving."""
        self.release()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HttpProxy

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _serve(self) -> None:
        body = self._body()
        action = self.owner.rule(unquote_plus(self.path) + body[:300].decode("latin-1"))
        if isinstance(action, Refusal):
            self.owner.refused += 1
            self._answer(action)
            return
        if action == "hold":
            self.owner.held += 1
            self.owner.released.wait(HELD_SECONDS)
        try:
            answer = self._forward(body)
        except (OSError, http.client.HTTPException):
            self._break_off()
            return
        if action == "pass":
            self._answer(answer)
            return
        if action == "hold":
            self.owner.late += 1
        else:
            self.owner.dropped += 1
        self._break_off()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _forward(self, body: bytes) -> Refusal:
        hop = {"transfer-encoding", "content-length", "connection", "host"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
        with contextlib.closing(
            http.client.HTTPConnection(*self.owner.target, timeout=HELD_SECONDS)
        ) as connection:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = {name: text for name, text in answer.getheaders() if name.lower() not in hop}
            return Refusal(answer.status, kept, answer.read())

    def _answer(self, answer: Refusal) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _break_off(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)


def is_insert(query: str, table: str = "event_log") -> bool:
    """Tell whether a request inserts into *table*."""
    return "INSERT INTO" in query and table in query


@contextmanager
def tcp_proxy(url: str) -> Generator[TcpProxy]:
    """Return a proxy in front of *url*, or of ``host:port``, that passes everything on so far."""
    address = urlsplit(url if "//" in url else f"//{url}")
    proxy = TcpProxy(address.hostname or "127.0.0.1", address.port or 80)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def http_proxy(url: str) -> Generator[HttpProxy]:
    """Return a proxy in front of ClickHouse at *url* that passes every request on so far."""
    proxy = HttpProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
