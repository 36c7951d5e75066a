"""What `trailhouse demo` does: emit recorded runs, wait until they are stored, read, compare, show."""

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from trailhouse.cli.demo.comparison import compare
from trailhouse.cli.demo.runs import SHOWN_SESSION_ID, recorded_events
from trailhouse.cli.demo.tampering import show_tampering
from trailhouse.cli.output.table import EVENT_COLUMNS, event_rows, print_table
from trailhouse.devstack import DevStack
from trailhouse.operate.first_setup import set_up
from trailhouse.producer import AuditLogger
from trailhouse.query import AuditReader, Overview
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.settings import PREFIX

SHOWN_ROWS = 20
SHOWN_CHARACTERS = 60
STORED_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.02


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, once the first event had opened the connection.

    Attributes:
        connecting_seconds: From the first `emit` to its acknowledgement.
        events: All others.
        acknowledged_seconds: From the first `emit` of these until Kafka had acknowledged all.
        stored_seconds: From there until all of them could be read.
    """

    connecting_seconds: float
    events: int
    acknowledged_seconds: float
    stored_seconds: float


def demonstrate(
    results: Console, progress: Console, before_check: Callable[[], None] = lambda: None
) -> None:
    """Run the demo in this process; what it starts is stopped when this returns or raises.

    Args:
        results: Where the audit log, the totals and the rates go.
        progress: Where it says what is going on.
        before_check: Called between storing and reading, with the settings pointing at the stack.

    Raises:
        ComparisonError: What was read is not what was emitted, or a forged row was not found. Permanent.
        IntegrityError: A row contradicts its own hash. Permanent; names session and event.
        StackError, BrokerError, DeliveryError, StorageError: A part is away (retriable) or refuses (permanent).
    """

    with (
        _settings_of_its_own(),
        _one_interruption(),
        tempfile.TemporaryDirectory(
            prefix="trailhouse-demo-", ignore_cleanup_errors=True
        ) as folder,
    ):
        _say(progress, "1/5 start Kafka, ClickHouse and a worker")
        with DevStack(
            Path(folder), set_up=set_up, echo=lambda line: _say(progress, f"    {line}")
        ) as stack:
            os.environ.update(stack.environment())
            _say(progress, "2/5 emit recorded runs and wait until they are stored")
            emitted, timing = _emit_and_wait()
            # Where a test alters what was stored, to see that the comparison finds it.
            before_check()
            _say(progress, "3/5 read them back and compare, event by event")
            with AuditReader() as reader:
                read, overview = read_back(emitted, reader), reader.overview()
            compare(emitted, read)
            _show(results, read, overview, timing)
            _say(progress, "4/5 change one stored row behind the log's back, and look for it")
            show_tampering(emitted, lambda text: _say(results, text))
            _say(progress, "5/5 stop")
    _say(results, _NEXT_STEPS)


def read_back(emitted: Sequence[AuditEvent], reader: AuditReader) -> list[AuditEvent]:
    """Return the audit logs of the sessions that were emitted, one after the other."""
    sessions = dict.fromkeys(event.session_id for event in emitted)
    return [event for session_id in sessions for event in reader.get_audit_log(session_id)]


def _emit_and_wait() -> tuple[Sequence[AuditEvent], Timing]:
    events = recorded_events()
    with AuditLogger() as audit, AuditReader() as reader:
        started = time.perf_counter()
        # By itself: the first event pays for the connection, and would spoil the rate of the others.
        audit.emit(events[0])
        audit.flush()
        began = time.perf_counter()
        for event in events[1:]:
            audit.emit(event)
        audit.flush()
        acknowledged = time.perf_counter()
        # Should some never arrive, the comparison will name them better than a timeout could.
        while (
            reader.overview().stored < len(events)
            and time.perf_counter() < acknowledged + STORED_DEADLINE_SECONDS
        ):
            time.sleep(_POLL_SECONDS)
        stored = time.perf_counter()
    return events, Timing(
        connecting_seconds=began - started,
        events=len(events) - 1,
        acknowledged_seconds=acknowledged - began,
        stored_seconds=stored - began,
    )


def _show(results: Console, read: Sequence[AuditEvent], overview: Overview, timing: Timing) -> None:
    shown = [event for event in read if event.session_id == SHOWN_SESSION_ID]
    rows = [(*row[:-1], _clipped(row[-1])) for row in event_rows(shown[:SHOWN_ROWS])]
    _say(results, f"\nAudit log of session {SHOWN_SESSION_ID}\n")
    print_table(results, EVENT_COLUMNS, rows)
    _say(results, f"… and {len(shown) - len(rows)} more")
    _say(results, "\nEvents by type\n")
    print_table(results, ("events", "type"), _counted(overview.by_type))
    _say(results, "\nRuns by outcome\n")
    print_table(results, ("runs", "outcome"), _counted(outcomes(read)))
    _say(
        results,
        f"\n{len(read)} events, the first acknowledged by Kafka after"
        f" {timing.connecting_seconds:.2f} s of connecting; the others"
        f"\n  acknowledged within {timing.acknowledged_seconds:.3f} s"
        f" ({timing.events / timing.acknowledged_seconds:.0f} events/s)"
        f"\n  stored and readable within {timing.stored_seconds:.3f} s"
        f" ({timing.events / timing.stored_seconds:.0f} events/s, a short burst)"
        "\n\nEvery event read equals the one emitted, in order, to the last byte.\n",
    )


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def outcomes(events: Sequence[AuditEvent]) -> dict[str, int]:
    """Return how often runs came to each end, with its reason, by number of runs."""
    ends = ("run_completed", "run_failed", "run_cancelled", "run_timeout", "run_abandoned")
    reasons = ("stop_reason", "error_code")
    return Counter(
        " ".join([event.type, *(str(event.data[name]) for name in reasons if name in event.data)])
        for event in events
        if event.type in ends
    )


def _counted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(str(count), name) for name, count in ordered]


@contextmanager
def _settings_of_its_own() -> Generator[None]:
    """Hide the caller's settings: the demo must never write to a cluster that somebody uses."""
    # Also for the worker and the readers of the demo, which take their settings from the environment.
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(hidden)


@contextmanager
def _one_interruption() -> Generator[None]:
    """Let the first Ctrl-C or SIGTERM end the demo, and none disturb the stopping that follows."""

    def end(number: int, frame: object) -> None:
        # From now on: stopping takes seconds, and an impatient second Ctrl-C would leave processes behind.
        for ignored in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ignored, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_NEXT_STEPS = """\
What to try next:
  trailhouse dev                                   the same, kept running until Ctrl-C
  trailhouse emit runs.jsonl                       your own events, one JSON object a line
  trailhouse log SESSION_ID --type run_failed      a session, filtered
  trailhouse status                                lag, stored, signed, quarantined, versions
  trailhouse verify                                what is stored against what was signed
"""
