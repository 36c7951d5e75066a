"""One measurement with the code of the folder that this is run in; `benchmarks.between` asks for it.

The last line of standard output is the answer, in JSON. What runs is the folder's own benchmarks.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks import drain, emit
from benchmarks.topics import fill
from benchmarks.worker import Stack, new_place
from trailhouse.query import AuditReader
from trailhouse.store import ClickHouse

SESSIONS = 200
PASSES = 3


class Running:
    """A stack that somebody else has started."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def environment(self) -> dict[str, str]:
        """Return the settings by which it is reached."""
        return self._environment


def main() -> None:
    """Do what is asked for: fill, drain, read or emit."""
    what, stack, given = sys.argv[1], Running(json.loads(sys.argv[2])), json.loads(sys.argv[3])
    print(json.dumps(MEASURES[what](stack, **given)))


def _fill(stack: Stack, events: int) -> dict[str, Any]:
    place = new_place(stack)
    fill(place.kafka, events)
    return {"topic": place.kafka.topic}


def _drain(stack: Stack, topic: str, events: int) -> dict[str, Any]:
    place = new_place(stack, topic=topic)
    measured: dict[str, Any] = dict(drain.drained(stack, place, events))
    return measured | {"database": place.clickhouse.database}


def _read(stack: Stack, topic: str, database: str) -> dict[str, float]:
    config = msgspec.structs.replace(new_place(stack, topic=topic).clickhouse, database=database)
    with ClickHouse(config) as store:
        sessions = [
            str(row[0])
            for row in store.query(
                "SELECT DISTINCT session_id FROM events ORDER BY cityHash64(session_id)"
                f" LIMIT {SESSIONS}"
            ).rows
        ]
    milliseconds: list[float] = []
    with AuditReader(config=config) as reader:
        for session in sessions:
            reader.get_audit_log(session)  # once, so that nothing is read from the disk
        began_cpu_seconds = time.process_time()
        for session in sessions * PASSES:
            began = time.perf_counter()
            reader.get_audit_log(session)
            milliseconds.append((time.perf_counter() - began) * 1e3)
        cpu_seconds = time.process_time() - began_cpu_seconds
    milliseconds.sort()
    return {
        "p50_ms": milliseconds[len(milliseconds) // 2],
        "p99_ms": milliseconds[len(milliseconds) * 99 // 100],
        "cpu_us": cpu_seconds / len(milliseconds) * 1e6,
    }


def _emit(stack: Stack, events: int) -> dict[str, float]:
    return emit.run_emitter(stack, emit.CONTESTANTS[emit.OURS], emit.MODES[0], events)


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "fill": _fill,
    "drain": _drain,
    "read": _read,
    "emit": _emit,
}

if __name__ == "__main__":
    main()
