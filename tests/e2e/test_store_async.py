"""Inserts that a server may gather: the same promise as those it stores one by one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from fault_proxy import Action, HttpProxy, clickhouse_error, http_proxy, http_status, is_insert
from stored import block_of, count, in_order, some_events
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
def store(database: ClickHouseConfig, proxy: HttpProxy) -> Iterator[ClickHouse]:
    """Return a connection through the proxy that lets the server gather."""
    config = msgspec.structs.replace(database, url=proxy.url, async_insert=True)
    with ClickHouse(config) as clickhouse:
        yield clickhouse


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


def test_an_acknowledged_insert_is_written(proxy: HttpProxy, store: ClickHouse) -> None:
    """The server is told to answer once it has written, and not to look for copies; then the rows are there."""
    seen = noting(proxy)
    store.insert(block_of(in_order(some_events(3))))
    assert count(store, "events") == 3
    [insert] = seen
    for setting in ("async_insert=1", "wait_for_async_insert=1", "deduplicate_insert=disable"):
        assert f"{setting}&" in insert


def test_what_was_refused_together_is_asked_for_alone(proxy: HttpProxy, store: ClickHouse) -> None:
    """Another worker's row may be what a gathered part was refused for: it is no reason to refuse ours."""
    seen = noting(proxy, gathered=REFUSAL)
    store.insert(block_of(in_order(some_events(3))))
    assert count(store, "events") == 3
    assert ["async_insert=1" in insert for insert in seen] == [True, False]


def test_what_is_refused_alone_is_refused(proxy: HttpProxy, store: ClickHouse) -> None:
    """A row that the table does not take is refused as without gathering."""
    noting(proxy, gathered=REFUSAL, alone=REFUSAL)
    with pytest.raises(StorageRejectedError):
        store.insert(block_of(in_order(some_events(1))))


def test_an_unknown_outcome_is_not_asked_for_again(proxy: HttpProxy, store: ClickHouse) -> None:
    """Whether to repeat is the caller's decision, who counts it."""
    seen = noting(proxy, gathered=http_status(503))
    with pytest.raises(StorageUnavailableError):
        store.insert(block_of(in_order(some_events(1))))
    assert len(seen) == 1


def test_inserts_at_the_same_time_share_a_part(proxy: HttpProxy, store: ClickHouse) -> None:
    """There are fewer parts than there were inserts, and no row is lost."""
    noting(proxy)
    store.command("SYSTEM STOP MERGES event_log")
    events = some_events(INSERTS)
    with ThreadPoolExecutor(INSERTS) as threads:
        list(threads.map(lambda event: store.insert(block_of(in_order([event]))), events))
    assert count(store, "events") == INSERTS
    parts = store.query(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'event_log' AND active"
    ).rows[0][0]
    assert parts < INSERTS
