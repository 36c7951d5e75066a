"""Faults 7, 8 and 10: the network between the worker and ClickHouse, and a ClickHouse that is too busy."""

import pytest

from fault_proxy import Action, NetworkFault, http_proxy, http_status, is_insert, tcp_proxy
from fault_scene import Scene, numbered, pause
from waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

SHORT_POLLS = {"max.poll.interval.ms": 7_000}
"""Stands for Kafka's 5 minutes: whoever does not poll for so long is thrown out of the group."""


def test_fault_07_lost_replies(stage: Scene) -> None:
    """ClickHouse carries out inserts whose answers get lost: each is repeated, seen once, and in the ledger once."""
    with http_proxy(stage.place.database.url) as proxy:

        def lose_the_first_three(query: str) -> Action:
            return "drop_reply" if "INSERT" in query and proxy.dropped < 3 else "pass"

        proxy.rule = lose_the_first_three
        stage.emit(numbered(900))
        stage.worker(clickhouse_url=proxy.url)
        stage.settle()
        assert proxy.dropped == 3, f"expected 3 lost replies, got {proxy.dropped}"
    ledger = stage.place.rows(
        "SELECT count(), uniqExact(kafka_partition, first_offset, last_offset) FROM batch_ledger FINAL"
    )
    assert ledger[0][0] == ledger[0][1], f"expected one ledger row a batch, got {ledger}"
    assert stage.place.count("event_log") >= 900


@pytest.mark.parametrize(
    "fault", ["reset", "half_close", "truncate", "blackhole", "latency", "slow"]
)
def test_fault_08(stage: Scene, fault: NetworkFault) -> None:
    """A network that breaks, halves, truncates, swallows, delays or trickles: nothing is lost, and it heals."""
    with tcp_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url, clickhouse_timeout_seconds=2)
        worker.wait_until_ready()
        stage.emit(numbered(300))
        proxy.fault = fault
        stage.emit(numbered(600, start=300))
        eventually(lambda: proxy.hits >= 2, f"connections that suffer from {fault}")
        if fault != "latency":
            eventually(
                lambda: worker.series().get("insert_failures_total", 0) >= 1, "a failed attempt"
            )
        # Where the connection itself is sound, only our own deadline ends the wait.
        proxy.fault = "none"
        stage.settle(40)
        assert worker.process.poll() is None, "expected the same worker"


def test_fault_10_slow_inserts_do_not_make_it_flap(stage: Scene) -> None:
    """An insert that takes longer than a member may go without polling costs no membership."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url, consumer_options=SHORT_POLLS)
        worker.wait_until_ready()
        slow: list[str] = []

        def one_slow_insert(query: str) -> Action:
            if is_insert(query) and not slow:
                slow.append(query)
                pause(10.0)
            return "pass"

        proxy.rule = one_slow_insert
        stage.emit(numbered(1_200))
        stage.settle()
        assert slow, "expected an insert that was slow"
        assert worker.series()["batches_dropped_total"] == 0, "expected no rebalance"


@pytest.mark.parametrize("status", [429, 503])
def test_fault_10_status(stage: Scene, status: int) -> None:
    """What a busy ClickHouse or a proxy before it refuses is tried again, and never quarantined."""
    with http_proxy(stage.place.database.url) as proxy:
        worker = stage.worker(clickhouse_url=proxy.url)
        worker.wait_until_ready()
        turns: list[str] = []

        def two_of_three(query: str) -> Action:
            turns.append(query)
            return http_status(status) if is_insert(query) and len(turns) % 3 else "pass"

        proxy.rule = two_of_three
        stage.emit(numbered(900))
        eventually(lambda: proxy.refused >= 3, "refused inserts")
        proxy.rule = lambda _: "pass"
        stage.settle()
        assert stage.place.count("quarantine") == 0, "expected nothing in quarantine"
        assert worker.series()["batches_dropped_total"] == 0, "expected no rebalance"
