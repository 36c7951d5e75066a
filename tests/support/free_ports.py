"""Free ports for what a test starts: each process of pytest has its own, for they are taken seconds later."""

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle

from trailhouse.devstack import Ports
from trailhouse.devstack.ports import HOST, given_to_no_connection

_PROCESSES = 16


def free_port() -> int:
    """Return a port that nobody listens on, and that no process of this run gets for long."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port
    raise AssertionError("there must be a port")


def free_ports() -> Ports:
    """Return three of them for a local stack."""
    return Ports(free_port(), free_port(), free_port())


def _ports_of_this_process() -> Iterator[int]:
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    ports = list(given_to_no_connection()[place::_PROCESSES])
    random.SystemRandom().shuffle(ports)
    return cycle(ports)


_PORTS = _ports_of_this_process()
