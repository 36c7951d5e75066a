"""Inserts that a server may gather: the same promise as those it stores one by one."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from fault_proxy import Action, HttpProxy, clickhouse_error, http_proxy, http_status, is_insert
from stored import block_of, count, in_order, some_events
from trailhouse.consumer.batch.batch import Limits
from trailhouse.consumer.batch.gathering import GatheredStore, Gathering
from trailhouse.consumer.batch.uncommitted import UncommittedBatches
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

INSERTS = 20
REFUSAL = clickhouse_error(469, "VIOLATED_CONSTRAINT", "Constraint is violated")


@pytest.fixture
def proxy(database: ClickHouseConfig) -> Iterator[HttpProxy]:
    """Return a proxy in front of ClickHouse."""
    with http_proxy(database.url) as made:
        yield made


@pytest.fixture
def clickhouse(database: ClickHouseConfig, proxy: HttpProxy) -> Iterator[ClickHouse]:
    """Return a connection through the proxy."""
    with ClickHouse(msgspec.structs.replace(database, url=proxy.url)) as made:
        yield made


@pytest.fixture
def store(clickhouse: ClickHouse) -> GatheredStore:
    """Return what a worker among twelve stores through, which lets the server gather."""
    gathering = Gathering("auto")
    gathering.note_workers(12)
    gathering.choose(UncommittedBatches(Limits(1, 1), time.monotonic), is_hurried=False)
    assert gathering.way.is_gathered
    return GatheredStore(clickhouse, gathering)


def noting(proxy: HttpProxy, gathered: Action = "pass", alone: Action = "pass") -> list[str]:
    """Have *proxy* answer both ways of inserting, and note each insert that it sees."""
    seen: list[str] = []

    def rule(query: str) -> Action:
        if not is_insert(query):
            return "pass"
        seen.append(query)
        return gathered if "async_insert=1" in query else alone

    proxy.rule = rule
    return seen


def test_an_acknowledged_insert_is_written(
    proxy: HttpProxy, clickhouse: ClickHouse, store: GatheredStore
) -> None:
    """The server is told to answer once it has written, when at the latest, and not to look for copies."""
    seen = noting(proxy)
    store.insert(block_of(in_order(some_events(3))))
    assert count(clickhouse, "events") == 3
    [insert] = seen
    for setting in (
        "async_insert=1",
        "wait_for_async_insert=1",
        "deduplicate_insert=disable",
        "async_insert_use_adaptive_busy_timeout=0",
        "async_insert_busy_timeout_max_ms=100",
        "wait_for_async_insert_timeout=24",
    ):
        assert f"{setting}&" in f"{insert}&"


def test_what_was_refused_together_is_asked_for_alone(
    proxy: HttpProxy, clickhouse: ClickHouse, store: GatheredStore
) -> None:
    """Another worker's row may be what a gathered part was refused for: it is no reason to refuse ours."""
    seen = noting(proxy, gathered=REFUSAL)
    store.insert(block_of(in_order(some_events(3))))
    assert count(clickhouse, "events") == 3
    assert ["async_insert=1" in insert for insert in seen] == [True, False]


def test_what_is_refused_alone_is_refused(proxy: HttpProxy, store: GatheredStore) -> None:
    """A row that the table does not take is refused as without gathering."""
    noting(proxy, gathered=REFUSAL, alone=REFUSAL)
    with pytest.raises(StorageRejectedError):
        store.insert(block_of(in_order(some_events(1))))


def test_an_unknown_outcome_is_not_asked_for_again(proxy: HttpProxy, store: GatheredStore) -> None:
    """Whether to repeat is the caller's decision, who counts it."""
    seen = noting(proxy, gathered=http_status(503))
    with pytest.raises(StorageUnavailableError):
        store.insert(block_of(in_order(some_events(1))))
    assert len(seen) == 1


def test_inserts_at_the_same_time_share_a_part(
    clickhouse: ClickHouse, store: GatheredStore
) -> None:
    """There are fewer parts than there were inserts, and no row is lost."""
    clickhouse.command("SYSTEM STOP MERGES event_log")
    events = some_events(INSERTS)
    with ThreadPoolExecutor(INSERTS) as threads:
        list(threads.map(lambda event: store.insert(block_of(in_order([event]))), events))
    assert count(clickhouse, "events") == INSERTS
    parts = clickhouse.query(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
    ).rows[0][0]
    assert parts < INSERTS


def test_a_row_that_one_worker_brings_costs_no_other_worker_a_row(
    clickhouse: ClickHouse, store: GatheredStore
) -> None:
    """Of many inserts at the same time one holds what the table refuses: it alone is refused, and all others are
    stored by the time they are acknowledged."""
    events = some_events(INSERTS)
    refused = events[INSERTS // 2]
    clickhouse.command(
        f"ALTER TABLE event_log ADD CONSTRAINT not_this CHECK event_id != '{refused.event_id}'"
    )

    def insert(number: int) -> bool:
        try:
            store.insert(block_of(in_order([events[number]])))
        except StorageRejectedError:
            return False
        return True

    with ThreadPoolExecutor(INSERTS) as threads:
        stored = list(threads.map(insert, range(INSERTS)))
    assert [number for number, is_in in enumerate(stored) if not is_in] == [INSERTS // 2]
    assert count(clickhouse, "events") == INSERTS - 1
