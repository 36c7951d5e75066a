"""Offers events: a process of its own logs at a rate that may change, and `occurred_at` says when."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from typing import NamedTuple

from benchmarks.worker import Pipe, Stack
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import KafkaConfig

CONNECT_SECONDS = 30.0
SESSIONS = 200
END_SECONDS = 60.0
_SHORTEST_SLEEP_SECONDS = 0.001


class Stretch(NamedTuple):
    """So many events a second for so long; a rate of 0 is a pause."""

    events_per_second: float
    seconds: float

    @property
    def events(self) -> int:
        """How many events it holds."""
        return round(self.events_per_second * self.seconds)


def events_of(stretches: Sequence[Stretch]) -> int:
    """Return how many events `offered` logs for *stretches*: one more, by which it connects."""
    return 1 + sum(each.events for each in stretches)


@contextlib.contextmanager
def offered(
    stack: Stack,
    place: Pipe,
    stretches: Sequence[Stretch],
    *,
    sessions: int = SESSIONS,
    linger_seconds: float | None = None,
) -> Generator[subprocess.Popen[bytes]]:
    """Log in the background, and wait for the end when leaving.

    Args:
        stack: Where.
        place: Into which topic.
        stretches: How many events, when.
        sessions: Of so many sessions, one after the other; by its session an event finds its partition.
        linger_seconds: How long the logger lets events gather; its default without.
    """
    kafka = place.kafka
    arguments = json.dumps([kafka.bootstrap_servers, kafka.topic, sessions, *stretches])
    command = [sys.executable, "-m", "benchmarks.offered", arguments]
    environment = os.environ | stack.environment()
    if linger_seconds is not None:
        environment["TRAILHOUSE_PRODUCER_LINGER_SECONDS"] = str(linger_seconds)
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process
            if process.wait(END_SECONDS):
                raise SystemExit("benchmarks: the process that offers events has failed")
        finally:
            process.kill()


def produce(servers: str, topic: str, sessions: int, *stretches: tuple[float, float]) -> None:
    """Log *stretches* one after the other, each at its steady rate."""
    kafka = KafkaConfig(bootstrap_servers=servers, topic=topic)
    with AuditLogger(ProducerConfig(kafka=kafka, service="bench")) as audit:
        audit.log("message_sent", session_id="first")
        audit.flush(CONNECT_SECONDS)
        began, number = time.perf_counter(), 0
        for stretch in (Stretch(*each) for each in stretches):
            for turn in range(stretch.events):
                _sleep_until(began + turn / stretch.events_per_second)
                audit.log(
                    "message_sent",
                    session_id=f"s{number % sessions}",
                    data={"content": "x" * 300, "n": number},
                )
                number += 1
            began += stretch.seconds
            _sleep_until(began)


def _sleep_until(due: float) -> None:
    if (left := due - time.perf_counter()) > _SHORTEST_SLEEP_SECONDS:
        time.sleep(left)


if __name__ == "__main__":
    produce(*json.loads(sys.argv[1]))
