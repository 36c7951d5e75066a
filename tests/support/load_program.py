"""A producer under load, a process of its own: logs numbered events and writes its history.

Run as ``python -c <program> <options as JSON>``; see `Options`. SIGUSR1 ends it in order.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from history import History, read_history
from trailhouse.producer import AuditLogger
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import DeliveryTimeoutError, TrailhouseError
from trailhouse.schemas.uuid7 import uuid7


class Options(msgspec.Struct, frozen=True):
    """What a load is: who writes, how much, how fast, and how it ends."""

    history: str
    prefix: str = "s"
    sessions: int = 5
    events: int = 0
    """How many; 0 is until SIGUSR1."""
    rate: float = 500.0
    """Events a second; 0 is as fast as it goes."""
    body_bytes: int = 40
    close_seconds: float = 20.0
    retries: bool = False
    """Whether a refused event is logged again, with the same id, until it is taken."""
    wait: bool = False
    clock_years: float = 0.0
    """How far `occurred_at` is off."""


def say(line: str) -> None:
    """Write a line for the test to read."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Load:
    """Logs events one after the other, each session's in the order of their numbers."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.logger = AuditLogger()
        path = Path(options.history)
        self._seq = {
            one.session_id: one.seq for one in read_history(path).values()
        }  # in file order: the last of each
        self._history = History(path)
        self._stop = threading.Event()

    def stop(self, *_: object) -> None:
        """End after the current event."""
        self._stop.set()

    def run(self) -> int:
        """Log all of them; return how many were taken."""
        options = self.options
        began, done, taken = time.monotonic(), 0, 0
        while not self._stop.is_set() and (not options.events or done < options.events):
            taken += self.log_one(f"{options.prefix}-{done % options.sessions}")
            done += 1
            if options.rate and (ahead := done / options.rate - (time.monotonic() - began)) > 0:
                self._stop.wait(ahead)
        return taken

    def log_one(self, session_id: str) -> bool:
        """Log the next event of *session_id*; tell whether it was taken."""
        seq = self._seq[session_id] = self._seq.get(session_id, -1) + 1
        event_id = uuid7()
        data: dict[str, Any] = {"n": seq, "body": "x" * self.options.body_bytes}
        self._history.invoke(event_id, session_id, seq, data)
        while True:
            try:
                self._log(event_id, session_id, data)
            except DeliveryTimeoutError:
                self._history.outcome(event_id, "info")
                return False
            except TrailhouseError as error:
                if self.options.retries and error.retriable and not self._stop.is_set():
                    self._stop.wait(0.05)
                    continue
                self._history.outcome(event_id, "fail")
                say(f"refused: {type(error).__name__}")
                return False
            self._history.outcome(event_id, "ok")
            return True

    def _log(self, event_id: str, session_id: str, data: dict[str, Any]) -> None:
        occurred_at = None
        if self.options.clock_years:
            occurred_at = AuditEvent(type="a", session_id="s").occurred_at
            occurred_at = occurred_at.replace(
                year=occurred_at.year + int(self.options.clock_years), day=1
            )
        self.logger.log(
            "message_sent",
            session_id=session_id,
            run_id=f"{os.getpid()}",
            data=data,
            event_id=event_id,
            occurred_at=occurred_at,
            wait=self.options.wait,
        )


def main() -> None:
    """Run the load that the command line describes, and say how it went."""
    load = Load(msgspec.json.decode(sys.argv[1], type=Options))
    signal.signal(signal.SIGUSR1, load.stop)
    say("started")
    taken = load.run()
    try:
        load.logger.close(load.options.close_seconds)
    except TrailhouseError as error:
        say(f"closed: {type(error).__name__}")
    say(f"taken {taken}")
    say(json.dumps(msgspec.to_builtins(load.logger.stats())))
