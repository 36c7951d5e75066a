"""A group of consumers at work, ours or a peer's: started, waited for until it shares the partitions out, ended."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import IO

from confluent_kafka.admin import AdminClient

from benchmarks.drain import Peer
from benchmarks.worker import Pipe, Stack, wait_assigned, wait_until, workers
from trailhouse.store import ClickHouse

PEER_TABLE = "peer_events"
ENDLESS = 1 << 62
ASK_SECONDS = 10.0
TOLD_BYTES = 2_000

Group = Callable[[Stack, Pipe], AbstractContextManager[list[int]]]
"""Runs a group that drains a place, and gives the processes."""


def our_group(count: int, freshness_seconds: float) -> Group:
    """Return a group of *count* workers that are asked for *freshness_seconds*."""

    @contextlib.contextmanager
    def run(stack: Stack, place: Pipe) -> Generator[list[int]]:
        with workers(stack, place, count, freshness_seconds) as group:
            wait_assigned(group, place)
            yield [each.process.pid for each in group]

    return run


def peer_group(peer: Peer, count: int, batch_seconds: float) -> Group:
    """Return a group of *count* processes of *peer*, whose batches close at the age *batch_seconds*."""

    @contextlib.contextmanager
    def run(stack: Stack, place: Pipe) -> Generator[list[int]]:
        del stack  # the place says where it is
        with ClickHouse(place.clickhouse) as store:
            store.command(f"CREATE TABLE {PEER_TABLE} AS event_log")
        command = [*peer.command(place, ENDLESS), "--seconds", str(batch_seconds)]
        started: list[subprocess.Popen[bytes]] = []
        with tempfile.TemporaryFile() as said, contextlib.ExitStack() as folders:
            try:
                # A folder each: Quix Streams keeps its state in one, and two that make the same one end.
                started.extend(
                    subprocess.Popen(
                        command,
                        stdout=subprocess.DEVNULL,
                        stderr=said,
                        cwd=folders.enter_context(tempfile.TemporaryDirectory()),
                    )
                    for _ in range(count)
                )
                _wait_assigned(place, started, said)
                yield [each.pid for each in started]
            finally:
                for each in started:
                    each.kill()
                    each.wait()

    return run


def _wait_assigned(place: Pipe, group: list[subprocess.Popen[bytes]], said: IO[bytes]) -> None:
    admin = AdminClient({"bootstrap.servers": place.kafka.bootstrap_servers})

    def is_shared_out() -> bool:
        if any(each.poll() is not None for each in group):
            said.seek(0)
            last = said.read()[-TOLD_BYTES:].decode(errors="replace")
            raise SystemExit(f"benchmarks: a consumer of {group[0].args!r} has ended: {last}")
        [asked] = admin.describe_consumer_groups(
            [place.group_id], request_timeout=ASK_SECONDS
        ).values()
        held = [len(member.assignment.topic_partitions) for member in asked.result().members]
        busy = len(held) - held.count(0)
        partitions = place.kafka.partitions
        return sum(held) == partitions and busy == min(len(group), partitions)

    wait_until(is_shared_out, f"{len(group)} consumers with partitions", every_seconds=0.5)
