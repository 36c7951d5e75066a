"""The ports of a local stack on the loopback address: the usual ones, or free ones."""

import random
import socket
from typing import NamedTuple, Self

from trailhouse.schemas.errors import StackError

HOST = "127.0.0.1"
_GIVEN_TO_NO_CONNECTION = range(20_000, 32_768)
"""Below what Linux (32768), macOS and Windows (49152) take ports of connections from, as they come."""


class Ports(NamedTuple):
    """Where each part listens."""

    kafka: int = 9092
    clickhouse: int = 8123
    worker: int = 6066

    @classmethod
    def free(cls) -> Self:
        """Return three ports that nobody listens on now, and that no connection takes by itself."""
        # All three are held at once, so that they differ.
        with _held_port() as first, _held_port() as second, _held_port() as third:
            return cls(*(int(held.getsockname()[1]) for held in (first, second, third)))


def free_port() -> int:
    """Return a port that nobody listens on now, and that no connection takes by itself."""
    with _held_port() as held:
        return int(held.getsockname()[1])


def _held_port() -> socket.socket:
    # Port 0 would give one of those that any connection may take until somebody listens on it.
    for port in random.SystemRandom().sample(_GIVEN_TO_NO_CONNECTION, 100):
        held = socket.socket()
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
        else:
            return held
    raise StackError(f"no free port on {HOST}: none of 100 between 20000 and 32767 was")


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
