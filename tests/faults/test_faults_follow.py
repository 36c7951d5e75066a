"""Followers of a running pipeline, killed with −9 again and again: 0 missed, 0 twice."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

import pytest

from command_line import PROGRAM
from fault_scene import Scene
from history import read_history
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

EVENTS = int(os.environ.get("FOLLOWED", "20000"))
RATE = 1_000.0
KILLS = 10
SEED = int(os.environ.get("SEED", "20"))


class Watcher(threading.Thread):
    """A follower in this process, that is never killed: notes how late it sees each event."""

    def __init__(self, config: ClickHouseConfig) -> None:
        super().__init__(daemon=True)
        self.given: list[str] = []
        self.late_seconds: list[float] = []
        self._reader = AuditReader(config=config)
        self._follower = self._reader.follow(from_start=True)
        self._is_over = threading.Event()

    def run(self) -> None:
        """Follow until `end`."""
        while not self._is_over.is_set():
            items = self._follower.read(0.2, 10_000).items
            now = time.time()
            found = [each for each in items if isinstance(each, AuditEvent)]
            self.given += [each.event_id for each in found]
            self.late_seconds += [now - each.occurred_at.timestamp() for each in found]

    def end(self) -> None:
        """End it."""
        self._is_over.set()
        self.join(DEADLINE_SECONDS)
        self._follower.close()
        self._reader.close()


def test_followers_killed_at_any_moment_miss_nothing_and_repeat_nothing(
    stage: Scene, database: ClickHouseConfig
) -> None:
    """With the token beside each event, ten killed followers give what one gives: each event once, in order."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
    stage.worker(worker_batch_rows=5_000)
    watcher = Watcher(database)
    watcher.start()
    load = stage.load(rate=RATE, events=EVENTS, sessions=50)
    given: list[tuple[str, str]] = []
    token: list[str] = []
    for kill in range(KILLS + 1):
        wanted = EVENTS if kill == KILLS else len(given) + chance.randrange(1, EVENTS // KILLS)
        token = _followed(stage, token, given, min(wanted, EVENTS))
    load.process.wait(DEADLINE_SECONDS)
    taken = list(read_history(load.history).values())
    eventually(lambda: len(watcher.given) >= EVENTS, "the other follower has seen all")
    watcher.end()
    late = sorted(watcher.late_seconds)
    print(  # noqa: T201 - a figure, for `-s`
        f"follow: {len(late)} events, p50 {late[len(late) // 2]:.2f} s, p99 {late[len(late) * 99 // 100]:.2f} s"
        " from `log`"
    )
    assert len(taken) == EVENTS
    assert sorted(event_id for event_id, _ in given) == sorted(each.event_id for each in taken)
    assert sorted(watcher.given) == sorted(each.event_id for each in taken)
    for session in {each.session_id for each in taken}:
        logged = sorted(
            (each for each in taken if each.session_id == session), key=lambda each: each.seq
        )
        assert [one for one, of in given if of == session] == [each.event_id for each in logged]


def _followed(
    stage: Scene, token: Sequence[str], given: list[tuple[str, str]], until: int
) -> list[str]:
    """Follow from *token* until there are *until* events in all, and kill it; return the last token."""
    command = [*PROGRAM, "follow", "--from-start", "--with-token", *token]
    found: list[str] = list(token)
    with subprocess.Popen(
        command, env=stage.place.environment(), stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            read = json.loads(line)
            given.append((read["event"]["event_id"], read["event"]["session_id"]))
            found = ["--token", read["token"]]
            if len(given) >= until:
                break
        running.send_signal(signal.SIGKILL)
    return found
