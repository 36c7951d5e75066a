"""Fault 33: a random mix of all of it, for as long as one likes, under the oracle's eyes.

``make soak MINUTES=10 SEED=1``; without a seed it takes and prints one. What happens when is decided by
the seed; what comes of it, by the machine. ``GROUP=8`` runs so many workers, with a partition for each.
"""

import os
import random
import signal
import time
from collections.abc import Callable

import msgspec
import pytest

from cluster import Cluster
from fault_proxy import NetworkFault, TcpProxy, tcp_proxy
from fault_scene import LoadProcess, Scene, pause, stack_of
from load_program import Options
from trailhouse.devstack import DevStack, PartName
from worker_process import Worker

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

MINUTES = float(os.environ.get("MINUTES") or "1")
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
NETWORK_FAULTS: tuple[NetworkFault, ...] = (
    "reset",
    "half_close",
    "truncate",
    "blackhole",
    "latency",
    "slow",
)
PRODUCERS = 2
WORKERS = int(os.environ.get("GROUP") or "2")
MIN_PARTITIONS = 4


class Mix:
    """What runs, and what is done to it."""

    def __init__(self, stage: Scene, stack: DevStack, proxy: TcpProxy) -> None:
        self.chance = random.Random(SEED)  # noqa: S311 - a seed, so that a failure comes again
        self._stage, self._stack, self._proxy = stage, stack, proxy
        self._producers = [self._producer(number) for number in range(PRODUCERS)]
        self._workers = [self._worker() for _ in range(WORKERS)]
        self._families: list[LoadProcess] = []
        self.done: list[str] = []

    def act(self) -> None:
        """Do one thing to one part."""
        acts: tuple[Callable[[], None], ...] = (
            *(self.kill_producer, self.kill_worker, self.harm_network) * 2,
            *(self.end_worker, self.stop_worker, self.add_worker, self.stop_producer, self.fork),
            *(self.stop_clickhouse, self.kill_clickhouse, self.stop_kafka, self.kill_kafka),
        )
        act = self.chance.choice(acts)
        self.done.append(act.__name__)
        print(f"{time.strftime('%H:%M:%S')} {act.__name__}", flush=True)  # noqa: T201 - shown with -s
        act()

    def kill_producer(self) -> None:
        number = self.chance.randrange(PRODUCERS)
        self._producers[number].kill()
        self._producers[number] = self._producer(number)

    def kill_worker(self) -> None:
        number = self.chance.randrange(WORKERS)
        self._workers[number].kill()
        self._workers[number] = self._worker()

    def end_worker(self) -> None:
        number = self.chance.randrange(WORKERS)
        self._workers[number].process.send_signal(signal.SIGTERM)
        self._workers[number] = self._worker()

    def stop_worker(self) -> None:
        self._stopped_for(self.chance.choice(self._workers).process.pid, 9.0)

    def stop_producer(self) -> None:
        self._stopped_for(self.chance.choice(self._producers).process.pid, 3.0)

    def stop_clickhouse(self) -> None:
        self._away("clickhouse", 6.0)

    def stop_kafka(self) -> None:
        self._away("kafka", 6.0)

    def kill_clickhouse(self) -> None:
        self._kill_part("clickhouse")

    def kill_kafka(self) -> None:
        self._kill_part("kafka")

    def harm_network(self) -> None:
        self._proxy.fault = self.chance.choice(NETWORK_FAULTS)
        self._proxy.latency_seconds = self.chance.uniform(0.05, 2.0)
        pause(self.chance.uniform(0.5, 6.0))
        self._proxy.heal()

    def add_worker(self) -> None:
        guest = self._worker()
        pause(self.chance.uniform(1.0, 6.0))
        guest.kill()

    def fork(self) -> None:
        name = f"family{len(self._families)}"
        path = self._stage.folder / f"{name}.history"
        options = msgspec.json.encode(Options(history=str(path), prefix=name)).decode()
        body = "import process_programs; process_programs.fork('after_first')"
        self._families.append(self._stage.run_producer(body, options, history=path))

    def heal(self) -> None:
        """Let everything run again, and end who writes."""
        self._proxy.heal()
        for name in ("kafka", "clickhouse"):
            self._stack.start(name)
        for producer in self._producers:
            producer.end(60)
        for family in self._families:
            assert family.process.wait(120) == 0, family.output[-2_000:]
        self._workers = [
            self._worker() if worker.process.poll() is not None else worker
            for worker in self._workers
        ]
        self._stage.start_and_end_a_logger()

    def _producer(self, number: int) -> LoadProcess:
        return self._stage.load(name=f"p{number}", rate=150, sessions=10, retries=True)

    def _worker(self) -> Worker:
        return self._stage.worker(clickhouse_url=self._proxy.url, clickhouse_timeout_seconds=4)

    def _stopped_for(self, pid: int, longest_seconds: float) -> None:
        try:
            os.kill(pid, signal.SIGSTOP)
            pause(self.chance.uniform(0.5, longest_seconds))
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            return  # it has ended by itself; the next act sees to it

    def _away(self, name: PartName, longest_seconds: float) -> None:
        self._stack.stop(name)
        pause(self.chance.uniform(0.0, longest_seconds))
        self._stack.start(name)

    def _kill_part(self, name: PartName) -> None:
        (pid,) = [part.pid for part in self._stack.status() if part.name == name]
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        pause(self.chance.uniform(0.0, 3.0))
        self._stack.start(name)

    def replace_the_dead(self) -> None:
        """Start workers again that have ended by themselves, as their supervisor would."""
        for number, worker in enumerate(self._workers):
            if (code := worker.process.poll()) is not None:
                assert code > 0, (
                    f"expected a worker that ends with an error, got {code}: {worker.log[-500:]}"
                )
                self.done.append(f"worker exit {code}")
                self._workers[number] = self._worker()


@pytest.fixture
def partitions() -> int:
    """Return how many partitions the topic has: one for each worker at least."""
    return max(MIN_PARTITIONS, WORKERS)


def test_soak(stage: Scene, cluster: Cluster) -> None:
    """Whatever happens at random, for minutes: no event is lost, seen twice, invented or out of order."""
    print(f"SEED={SEED} MINUTES={MINUTES:g} GROUP={WORKERS}", flush=True)  # noqa: T201 - the seed is what one needs
    with tcp_proxy(stage.place.database.url) as proxy:
        mix = Mix(stage, stack_of(cluster), proxy)
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            mix.act()
            pause(mix.chance.uniform(0.0, 4.0))
            mix.replace_the_dead()
        mix.heal()
        view = stage.settle(180)
        said = f"{len(mix.done)} acts, {len(view)} events, {stage.oracle.samples} looks"
        print(f"SEED={SEED}: {said}", flush=True)  # noqa: T201 - shown with -s
