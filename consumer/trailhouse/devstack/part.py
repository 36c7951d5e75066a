"""What the supervisor must know of one part of the stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class PartState(StrEnum):
    """Where a part is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # it died, and is started again after a pause
    STOPPING = "stopping"
    FAILED = "failed"  # it died again and again before it was ever ready


@dataclass(frozen=True)
class Part:
    """One program of the stack.

    Attributes:
        name: ``kafka``, ``clickhouse`` or ``worker``.
        port: Where it listens.
        command: Returns the program and its arguments; called before each start.
        is_ready: Whether a real request is answered; called again and again while it starts,
            and must return within a second.
        log: File that takes its standard output and error.
        environment: Variables on top of this process's own.
        stop_seconds: How long it may take to end after SIGTERM before it is killed.
        start_seconds: How long it may take to be ready.
    """

    name: str
    port: int
    command: Callable[[], list[str]]
    is_ready: Callable[[], bool]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    stop_seconds: float = 20.0
    start_seconds: float = 60.0


@dataclass(frozen=True)
class PartStatus:
    """What is known of a part now; `pid` is None while it does not run."""

    name: str
    state: PartState
    pid: int | None
    port: int
