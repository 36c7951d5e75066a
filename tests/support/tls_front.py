"""TLS in front of a plain TCP server: ends the encryption, asks for a client's certificate if told to."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from certificates import Identity

CHUNK_BYTES = 65_536
PATIENCE_SECONDS = 10.0


class TlsFront:
    """Where it listens, and what it has seen; `requests` holds the first bytes of each connection."""

    def __init__(self, target: str, identity: Identity, client_ca: Path | None) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "127.0.0.1", address.port or 80)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.certificate, identity.key)
        if client_ca is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(client_ca)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:  # a client without trust ends the handshake
            encrypted = self._context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            )
            if not _shakes_hands(encrypted):
                return
            with encrypted, socket.create_connection(self._target) as upstream:
                back = threading.Thread(target=_pump, args=(upstream, encrypted), daemon=True)
                back.start()
                first = encrypted.recv(CHUNK_BYTES)
                self.requests.append(first)
                upstream.sendall(first)
                _pump(encrypted, upstream)
                back.join()


def _shakes_hands(encrypted: ssl.SSLSocket) -> bool:
    try:
        encrypted.do_handshake()
    except ssl.SSLError:
        # The client is to see the alert, and not a connection that was reset under its request.
        with socket.socket(fileno=encrypted.detach()) as plain:
            plain.shutdown(socket.SHUT_WR)
            plain.settimeout(PATIENCE_SECONDS)
            while plain.recv(CHUNK_BYTES):
                pass
        return False
    return True


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_front(
    target: str, identity: Identity, client_ca: Path | None = None
) -> Generator[TlsFront]:
    """Serve *target* (``http://host:port``) over TLS as *identity*; with *client_ca* to its clients alone."""
    front = TlsFront(target, identity, client_ca)
    try:
        yield front
    finally:
        front.close()
