"""The ports of a local stack on the loopback address: the usual ones, or free ones."""

import socket
from typing import NamedTuple, Self

from trailhouse.schemas.errors import StackError

HOST = "127.0.0.1"


class Ports(NamedTuple):
    """Where each part listens."""

    kafka: int = 9092
    clickhouse: int = 8123
    worker: int = 6066

    @classmethod
    def free(cls) -> Self:
        """Return three ports that nobody listens on now."""
        # All three are held at once, so that they differ.
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            for held in (first, second, third):
                held.bind((HOST, 0))
            return cls(*(int(held.getsockname()[1]) for held in (first, second, third)))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        return int(held.getsockname()[1])


def check_free(part: str, port: int) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        StackError: Names the part, the port and the option. Permanent until the port is free.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StackError(
                f"port {port} for {part} is in use ({error.strerror}): stop what listens there,"
                f" or choose another with --{part}-port"
            ) from error


def is_listening(port: int, timeout_seconds: float = 0.2) -> bool:
    """Whether somebody accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout_seconds):
            return True
    except OSError:
        return False
