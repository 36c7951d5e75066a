"""The table of metrics, and which of them are there from the start."""

from trailhouse.consumer.monitoring.metrics import METRICS, PREFIX, WorkerMetrics


def test_every_metric_exists_from_the_start() -> None:
    """Each metric of the table has its help and its series before anything happened, but those of partitions."""
    text = WorkerMetrics().text(is_ready=False).decode()
    samples = {
        "warnings": f'{PREFIX}warnings{{kind="open_transaction"}} 0.0',
        "time_to_loss_seconds": f"{PREFIX}time_to_loss_seconds NaN",
        "parts_share": f"{PREFIX}parts_share NaN",
        "last_anchor_timestamp_seconds": f"{PREFIX}last_anchor_timestamp_seconds NaN",
        "anchor_failures_total": f'{PREFIX}anchor_failures_total{{kind="anchor"}} 0.0',
        "incidents_total": f'{PREFIX}incidents_total{{kind="expired"}} 0.0',
    }
    for metric in METRICS:
        if metric.label == "partition":
            assert f"{PREFIX}{metric.name}{{" not in text
            samples[metric.name] = ""
        assert f"# HELP {PREFIX}{metric.name} {metric.help}" in text
        suffix = "_count" if metric.kind == "histogram" else ""
        assert samples.get(metric.name, f"{PREFIX}{metric.name}{suffix} 0.0") in text, metric.name


def test_lag_of_a_lost_partition_is_forgotten() -> None:
    """After a rebalance only the partitions that are ours have a lag."""
    metrics = WorkerMetrics()
    metrics.lag({0: 5, 1: 6})
    metrics.assigned(1)
    metrics.lag({1: 7})
    text = metrics.text(is_ready=True).decode()
    assert 'lag_records{partition="1"} 7.0' in text
    assert 'partition="0"' not in text
