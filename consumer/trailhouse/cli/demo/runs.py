"""The recorded runs that ship with the package, as events that nobody has emitted yet."""

import os
import socket
from importlib import resources

import msgspec

from trailhouse.schemas.codec import event_of
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.record import Source
from trailhouse.schemas.uuid7 import uuid7

SHOWN_SESSION_ID = "airline-15"
"""The session whose audit log the demo prints: solved and failed runs, tool calls that fail."""


def recorded_events() -> tuple[AuditEvent, ...]:
    """Return the events in recorded order, with fresh ids, the present time, and us as source."""
    lines = resources.files("trailhouse.cli.demo").joinpath("runs.jsonl").read_bytes().splitlines()
    host, producer_id = socket.gethostname(), uuid7()
    return tuple(
        event_of(
            msgspec.json.decode(line)
            | {
                "source": Source(
                    service="trailhouse-demo",
                    host=host,
                    pid=os.getpid(),
                    producer_id=producer_id,
                    seq=number,
                )
            }
        )
        for number, line in enumerate(lines)
    )
