"""Whether the server gathers what the workers of a group insert at the same time, and inserts that do as this says."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from trailhouse.schemas.errors import StorageRejectedError
from trailhouse.store.block import Block
from trailhouse.store.clickhouse import Result
from trailhouse.store.tables import EVENT_LOG

GATHER_SECONDS = 0.2
GATHER_SHARE = 0.1
"""The server waits for the others' inserts for so long, its own default, or for this share of the freshness."""
AFTER_ROWS_SHARE = 0.5
"""Proofs and ledger follow the rows, whose answer all workers have had at the same time: they come closer together."""
FEWEST_WORKERS = 2
WORTH_ROWS = 2_000
WORTH_BYTES = 2_097_152
"""So much costs ClickHouse as much as the insert itself: it waits for no others, whose rows would save little."""
STRAIGHT_SECONDS = 60.0
"""For so long nothing is gathered after a refusal: another worker's row, or a server that does not let us ask."""


class InsertWay(NamedTuple):
    """How inserts go to the server now, and why; the server waits *gather_seconds* for others, 0: for none."""

    gather_seconds: float
    reason: str

    @property
    def is_gathered(self) -> bool:
        """Whether the server makes one part of what several workers insert."""
        return self.gather_seconds > 0


class Load(Protocol):
    """What is to be stored next."""

    @property
    def waiting_rows(self) -> int: ...
    @property
    def waiting_bytes(self) -> int: ...
    @property
    def is_full(self) -> bool: ...


class Gathering:
    """One worker's choice. `choose` belongs to the thread that reads; the rest is safe from any."""

    def __init__(
        self,
        wanted: str = "off",
        freshness_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare it; *wanted* is `TRAILHOUSE_CLICKHOUSE_ASYNC_INSERT`."""
        self._wanted = wanted
        self._clock = clock
        self._seconds = min(GATHER_SECONDS, GATHER_SHARE * freshness_seconds)
        self._workers = 1.0
        self._refused_at_seconds = -math.inf
        self.way = InsertWay(0.0, "nothing was stored yet")

    def note_workers(self, workers: float) -> None:
        """Take in how many workers share the topic, as far as this one's share of it tells."""
        self._workers = workers

    def note_refusal(self) -> None:
        """Take in that what was gathered was refused: from now on each insert is judged by itself, for a while."""
        self._refused_at_seconds = self._clock()
        self.way = self._straight_after_refusal()

    @property
    def has_others(self) -> bool:
        """Whether small inserts are to come at the same time as the other workers'."""
        return self._wanted != "off" and self._workers >= FEWEST_WORKERS and not self._was_refused

    def choose(self, load: Load, *, is_hurried: bool) -> InsertWay:
        """Return how *load* is to be stored, and have inserts go so from now on; none waits if *is_hurried*."""
        self.way = self._chosen(load, is_hurried=is_hurried)
        return self.way

    def _chosen(self, load: Load, *, is_hurried: bool) -> InsertWay:
        if self._wanted == "off":
            return InsertWay(0.0, "TRAILHOUSE_CLICKHOUSE_ASYNC_INSERT=off")
        if self._was_refused:
            return self._straight_after_refusal()
        if self._wanted == "on":
            return InsertWay(self._seconds, "TRAILHOUSE_CLICKHOUSE_ASYNC_INSERT=on")
        if self._workers < FEWEST_WORKERS:
            return InsertWay(0.0, "no other worker shares the topic")
        if is_hurried:
            return InsertWay(0.0, "partitions are given away, or the worker ends")
        if load.is_full or load.waiting_rows >= WORTH_ROWS or load.waiting_bytes >= WORTH_BYTES:
            return InsertWay(0.0, "there is enough to store: a part of its own is worth it")
        return InsertWay(self._seconds, f"about {self._workers:.0f} workers share the topic")

    @property
    def _was_refused(self) -> bool:
        return self._clock() - self._refused_at_seconds < STRAIGHT_SECONDS

    @staticmethod
    def _straight_after_refusal() -> InsertWay:
        return InsertWay(
            0.0,
            f"ClickHouse refused what it gathered; each insert goes by itself for {STRAIGHT_SECONDS:.0f} s",
        )


class Storage(Protocol):
    """What is asked of ClickHouse."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result: ...
    def insert(self, block: Block, *, gather_seconds: float = 0.0) -> None: ...


class GatheredStore:
    """ClickHouse as the writers of one worker use it. Safe from any thread."""

    def __init__(self, storage: Storage, gathering: Gathering) -> None:
        self._storage = storage
        self._gathering = gathering

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Result:
        """Do as `ClickHouse.query` does."""
        return self._storage.query(sql, parameters)

    def insert(self, block: Block) -> None:
        """Do as `ClickHouse.insert` does: one way or the other, acknowledged means written.

        Raises:
            StorageUnavailableError: As `ClickHouse.insert`.
            StorageRejectedError: As `ClickHouse.insert`: it is about *block* alone, never about another worker's.
        """
        gather_seconds = self._gathering.way.gather_seconds
        if block.table != EVENT_LOG.name:
            gather_seconds *= AFTER_ROWS_SHARE
        if gather_seconds:
            try:
                self._storage.insert(block, gather_seconds=gather_seconds)
            except StorageRejectedError:
                # One refusal is the answer to all that were gathered, whoever's row it is about: ask for ours alone.
                self._gathering.note_refusal()
            else:
                return
        self._storage.insert(block)
