"""An application that is recorded into a spool on the disk, and what `trailhouse spool inspect` would print of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from capture_rules import Outcome, Recorded, check_runs, outcome_of
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.frame import Frame
from trailhouse.producer.spool.reader import frames_of
from trailhouse.producer.spool.root import folders
from trailhouse.schemas import AuditEvent, KafkaConfig, decode


class Spooled(NamedTuple):
    """What an application saw, and what lies in the spool."""

    outcome: Outcome
    events: list[AuditEvent]
    runs: list[Recorded]

    @property
    def ends(self) -> list[str]:
        """The types of the runs' ends, a pause as ``paused``, in the order of their starts."""
        return [
            "paused" if run.end.data.get("stop_reason") == "paused" else str(run.end.type)
            for run in self.runs
        ]

    @property
    def input_tokens(self) -> int:
        """What all model calls took in."""
        used = (event for event in self.events if event.type == "token_usage_updated")
        return sum(event.data.get("input_tokens", 0) for event in used)


def spooled(
    application: Callable[[], Any],
    install: Callable[[AuditLogger], Callable[[], object]],
    folder: Path,
    secret: str,
) -> Spooled:
    """Run *application* without us and with us, and check what holds in every run of what lies in the spool then.

    Args:
        application: What is run, twice: a function, or a coroutine function, of a result that can be compared.
        install: Installs us, and returns what takes us out.
        folder: Where the spool is; no broker takes anything from it.
        secret: What must be in no byte of it.

    Raises:
        AssertionError: Something does not hold, or the application saw something else with us than without.
    """
    without = outcome_of(application)
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    audit = AuditLogger(ProducerConfig(enabled=True, kafka=nowhere, spool_dir=str(folder)))
    undo = install(audit)
    try:
        outcome = outcome_of(application)
    finally:
        undo()
        audit.close(timeout_seconds=0)
    assert outcome == without, f"the application saw {outcome} with us, and {without} without"
    assert audit.stats().unlogged_total == 0
    records = [
        frame.record
        for path in folders(folder)
        for frame, _ in frames_of(path)
        if isinstance(frame, Frame)
    ]
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert not [file for file in files if secret.encode() in file.read_bytes()], (
        "the secret is on the disk"
    )
    events = [decode(record) for record in records]
    return Spooled(outcome, events, check_runs(events, secrets=[secret]))
