"""When the server gathers what several workers insert: where it pays, and never at the price of the promise."""

from typing import Any, NamedTuple

import msgspec
import pytest

from kafka_records import Clock
from trailhouse.consumer.batch.gathering import (
    GATHER_SECONDS,
    STRAIGHT_SECONDS,
    WORTH_BYTES,
    WORTH_ROWS,
    GatheredStore,
    Gathering,
)
from trailhouse.schemas.errors import (
    StorageOverloadedError,
    StorageRejectedError,
    StorageUnavailableError,
)
from trailhouse.store.block import Block

BLOCK = Block(table="event_log", names=(), types=(), columns=(), row_count=1)


class Load(NamedTuple):
    """What is to be stored next."""

    waiting_rows: int = 10
    waiting_bytes: int = 1_000
    is_full: bool = False


SMALL = Load()


def gathering_of(
    wanted: str = "auto", workers: float = 12.0, clock: Clock | None = None
) -> Gathering:
    """Return the choice of one of so many workers."""
    made = Gathering(wanted, clock=clock or Clock())
    made.note_workers(workers)
    return made


@pytest.mark.parametrize(
    ("wanted", "workers", "load", "expected"),
    [
        ("auto", 12, SMALL, True),
        ("auto", 2, SMALL, True),
        ("auto", 1, SMALL, False),
        ("auto", 12, Load(waiting_rows=WORTH_ROWS), False),
        ("auto", 12, Load(waiting_bytes=WORTH_BYTES), False),
        ("auto", 12, Load(is_full=True), False),
        ("off", 12, SMALL, False),
        ("on", 1, SMALL, True),
        ("on", 12, Load(is_full=True), True),
    ],
)
def test_gathered_is_what_is_small_and_has_company(
    wanted: str, workers: float, load: Load, expected: bool
) -> None:
    """By itself for a group of more than one, and for what is worth no part of its own; else as it was ordered."""
    assert gathering_of(wanted, workers).choose(load, is_hurried=False).is_gathered is expected


def test_who_is_in_a_hurry_waits_for_nobody() -> None:
    """Partitions that another worker waits for are given away as soon as their ledger is written."""
    gathering = gathering_of()
    assert not gathering.choose(SMALL, is_hurried=True).is_gathered
    assert gathering.choose(SMALL, is_hurried=False).is_gathered


@pytest.mark.parametrize(
    ("freshness_seconds", "expected"), [(0.3, 0.03), (1.0, 0.1), (3.0, 0.2), (30.0, GATHER_SECONDS)]
)
def test_the_server_waits_for_a_tenth_of_the_freshness_at_most(
    freshness_seconds: float, expected: float
) -> None:
    """What is to be seen soon does not wait long for others."""
    gathering = Gathering("on", freshness_seconds)
    assert gathering.choose(SMALL, is_hurried=False).gather_seconds == pytest.approx(expected)


class Server:
    """Answers to inserts by their way; notes how long each was to wait for others."""

    def __init__(self, gathered: Exception | None = None, alone: Exception | None = None) -> None:
        self.answers = {True: gathered, False: alone}
        self.waits: list[float] = []

    def query(self, sql: str, parameters: Any = None) -> Any:
        """Is asked nothing here."""
        raise AssertionError(sql)

    def insert(self, block: Block, *, gather_seconds: float = 0.0) -> None:
        """Answer."""
        self.waits.append(gather_seconds)
        answer = self.answers[gather_seconds > 0]
        if answer is not None:
            raise answer


def test_what_was_refused_together_is_asked_for_alone_and_for_a_while_nothing_is_gathered() -> None:
    """Another worker's row may be what it was refused for; whoever searches for it is not to hit ours again."""
    clock = Clock()
    gathering = gathering_of(clock=clock)
    server = Server(StorageRejectedError("refused", code=469, name="VIOLATED_CONSTRAINT"))
    store = GatheredStore(server, gathering)
    gathering.choose(SMALL, is_hurried=False)
    store.insert(BLOCK)
    store.insert(BLOCK)
    assert server.waits == [0.1, 0.0, 0.0]
    assert (gathering.has_others, "refused" in gathering.way.reason) == (False, True)
    clock.now_seconds += STRAIGHT_SECONDS
    assert gathering.has_others
    assert gathering.choose(SMALL, is_hurried=False).is_gathered


def test_what_follows_the_rows_waits_for_half_as_long() -> None:
    """The ledger's rows of all workers come at the same time, since the answer to their events did."""
    gathering, server = gathering_of(), Server()
    gathering.choose(SMALL, is_hurried=False)
    for table in ("event_log", "log_leaves", "batch_ledger"):
        GatheredStore(server, gathering).insert(msgspec.structs.replace(BLOCK, table=table))
    assert server.waits == [0.1, 0.05, 0.05]


def test_what_is_refused_alone_is_refused() -> None:
    """A row that the table does not take is refused as without gathering."""
    gathering = gathering_of()
    refusal = StorageRejectedError("refused", code=469, name="VIOLATED_CONSTRAINT")
    gathering.choose(SMALL, is_hurried=False)
    with pytest.raises(StorageRejectedError):
        GatheredStore(Server(refusal, refusal), gathering).insert(BLOCK)


@pytest.mark.parametrize(
    "error", [StorageUnavailableError("gone"), StorageOverloadedError("too many parts")]
)
def test_an_unknown_outcome_and_an_overload_are_not_asked_for_again_another_way(
    error: StorageUnavailableError,
) -> None:
    """Whether to repeat is the caller's decision, who counts it; where there are too many parts, more are no help."""
    gathering, server = gathering_of(), Server(error)
    gathering.choose(SMALL, is_hurried=False)
    with pytest.raises(type(error)):
        GatheredStore(server, gathering).insert(BLOCK)
    assert server.waits == [0.1]
    assert gathering.choose(SMALL, is_hurried=False).is_gathered
