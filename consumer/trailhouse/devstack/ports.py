"""The ports of a local stack on the loopback address: the usual ones, or free ones."""

import random
import socket
from pathlib import Path
from typing import NamedTuple, Self

from trailhouse.schemas.errors import StackError

HOST = "127.0.0.1"
_OF_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _USUAL_FIRST_OF_CONNECTIONS, _FEW = 20_000, 32_768, 1_000


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


def given_to_no_connection(of_connections: Path = _OF_CONNECTIONS) -> range:
    """Return ports that no connection takes as it comes, as this machine is set; 1,000 or more.

    Linux takes them from 32768 unless it is told otherwise, macOS and Windows from 49152. Where a
    machine leaves too few outside, those below 32768 are returned all the same.
    """
    usual = range(_FIRST, _USUAL_FIRST_OF_CONNECTIONS)
    try:
        first, last = map(int, of_connections.read_text().split())
    except (OSError, ValueError):
        return usual
    for ports in (
        range(_FIRST, first),
        range(max(last + 1, _FIRST), 65_536),
        range(_FIRST // 2, first),
    ):
        if len(ports) >= _FEW:
            return ports
    return usual


def _held_port() -> socket.socket:
    # Port 0 would give one of those that any connection may take until somebody listens on it.
    for port in random.SystemRandom().sample(given_to_no_connection(), 100):
        held = socket.socket()
        try:
            held.bind((HOST, port))
        except OSError:
            held.close()
        else:
            return held
    raise StackError(f"no free port on {HOST}: none of 100 tried was; stop what listens there")


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
