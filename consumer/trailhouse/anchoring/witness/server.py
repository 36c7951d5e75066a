"""Serves a witness over HTTP: `POST /add-checkpoint` and `GET /<hash of the origin>/checkpoint`, and nothing else."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import cast

import structlog

from trailhouse.anchoring.witness.witness import Answer, Witness
from trailhouse.proof.add_checkpoint import MAX_REQUEST_BYTES

MOST_CONNECTIONS = 100
IDLE_SECONDS = 30.0
"""A connection on which nothing comes for so long is closed."""


class WitnessServer(ThreadingHTTPServer):
    """Listens once it is made; `serve_forever` answers until `shutdown`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], witness: Witness) -> None:
        self.witness = witness
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: socket, client_address: object) -> None:  # type: ignore[override]  # of TCP alone
        """Answer in a thread of its own, unless there are too many: then close the connection."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket, client_address: object) -> None:  # type: ignore[override]  # of TCP alone
        """Answer, and let another connection have the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away; what is asked is checked before it can fail."""
        structlog.get_logger("trailhouse.witness").debug("a connection failed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "trailhouse-witness"
    sys_version = ""
    timeout = IDLE_SECONDS

    @property
    def _witness(self) -> Witness:
        return cast("WitnessServer", self.server).witness

    def do_POST(self) -> None:
        if self.path != "/add-checkpoint":
            self._unread(404, "there is `POST /add-checkpoint`\n")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 9:
            self._unread(411, "the length of the body is missing\n")
        elif int(length) > MAX_REQUEST_BYTES:
            self._unread(413, f"the body is above {MAX_REQUEST_BYTES} bytes\n")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                answer = self._witness.add_checkpoint(body)
                structlog.get_logger("trailhouse.witness").info("asked", status=answer.status)
                self._answer(answer)

    def do_GET(self) -> None:
        origin_hash, found, rest = self.path.removeprefix("/").partition("/")
        if not found or rest != "checkpoint":
            self._answer(Answer(404, "there is `GET /<hash of the origin>/checkpoint`\n"))
        else:
            self._answer(self._witness.checkpoint(origin_hash))

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: what is asked is logged by its status."""

    def _unread(self, status: int, text: str) -> None:
        """Answer without having read the body: the connection cannot be used again."""
        self.close_connection = True
        self._answer(Answer(status, text))

    def _answer(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
