"""What /metrics answers is what Prometheus' own client would write."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from trailhouse.consumer.monitoring.exposition import Exposition

NUMBERS = st.floats() | st.integers(-(10**20), 10**20)


@given(st.lists(NUMBERS, min_size=1, max_size=8), st.integers(0, 10**20))
def test_it_is_what_the_client_writes_to_the_byte(values: list[float], count: int) -> None:
    """Of any number, any kind of metric and any label of ours, also once the names are known."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as the worker's are
    registry = CollectorRegistry()
    exposition = Exposition(registry)
    gauge = Gauge("a_gauge", 'Says "this" \\ that\nand more.', registry=registry)
    labelled = Gauge("a_lag", "By partition.", ["partition"], registry=registry)
    counter = Counter("a_counter_total", "Counts.", registry=registry)
    by_kind = Counter("some_total", "By kind.", ["kind"], registry=registry)
    histogram = Histogram("a_second", "Times.", buckets=(0.1, 1.0, 2e6), registry=registry)
    counter.inc(count)
    for number, value in enumerate(values):
        gauge.set(value)
        labelled.labels(str(number)).set(value)
        by_kind.labels(f"kind_{number}").inc(abs(value) if math.isfinite(value) else 1)
        histogram.observe(value)
        assert exposition.text() == generate_latest(registry)
    labelled.clear()
    assert exposition.text() == generate_latest(registry)
