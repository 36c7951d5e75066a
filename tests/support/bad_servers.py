"""Servers that misbehave on purpose: one that says one thing only, one that breaks connections."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def http_server(answer: bytes) -> Generator[str]:
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
def breaking_proxy(target: str, break_at: bytes) -> Generator[tuple[str, list[bytes]]]:
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
