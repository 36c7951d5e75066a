"""A gate in front of a TCP server: open, shut, or letting a request in and no answer out."""

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

Mode = Literal["open", "shut", "mute"]
CHUNK_BYTES = 65_536


class TcpGate:
    """Listens on a port of its own and passes every connection on to the server.

    ``shut`` refuses and breaks connections. ``mute`` passes requests on and keeps the answers back.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = (address.hostname or "127.0.0.1", address.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.mode: Mode = "open"
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Break every connection, and refuse new ones until `open`."""
        self.mode = "shut"
        self._break_all()

    def mute(self) -> None:
        """Pass requests on, and keep the answers back until `open`."""
        self.mode = "mute"

    def open(self) -> None:
        """Pass everything on; connections whose answers were kept back are broken."""
        if self.mode == "mute":
            self._break_all()
        self.mode = "open"

    def close(self) -> None:
        """Stop listening and break everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        self._break_all()

    def _break_all(self) -> None:
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode == "shut":
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True)
        answers.start()
        self._pass_on(client, server, False)
        answers.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if is_answer and self.mode == "mute":
                    continue
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def gate(url: str) -> Generator[TcpGate]:
    """Return an open gate in front of *url*."""
    opened = TcpGate(url)
    try:
        yield opened
    finally:
        opened.close()
