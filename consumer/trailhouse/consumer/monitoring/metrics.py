"""The worker's metrics: a closed table of names, kinds and meanings, as Prometheus reads them."""

import math
from collections.abc import Container, Mapping
from typing import Literal, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from trailhouse.consumer.monitoring.exposition import Exposition
from trailhouse.consumer.monitoring.health import WARNING_KINDS, WarningKind
from trailhouse.consumer.monitoring.incident import KINDS
from trailhouse.consumer.monitoring.incident import Kind as IncidentKind

MetricName = Literal[
    "records_consumed_total",
    "records_stored_total",
    "records_quarantined_total",
    "sender_timed_records_total",
    "commits_total",
    "batches_dropped_total",
    "insert_failures_total",
    "insert_seconds",
    "batch_rows",
    "batch_bytes",
    "batch_age_seconds",
    "wanted_batch_age_seconds",
    "gathered_inserts",
    "parts_share",
    "last_commit_timestamp_seconds",
    "partitions",
    "ready",
    "lag_records",
    "time_to_loss_seconds",
    "incidents_total",
    "group_lag_records",
    "partition_stalled_seconds",
    "open_transaction_seconds",
    "group_members",
    "unknown_group_members",
    "warnings",
    "missing_events",
    "log_leaves",
    "last_checkpoint_timestamp_seconds",
    "unsigned_checkpoints",
    "last_anchor_timestamp_seconds",
    "anchor_failures_total",
    "unanchored_logs",
    "missing_cosignatures",
]
"""A name that is not one of these is found by the type checkers, wherever it stands."""
Kind = Literal["counter", "gauge", "histogram"]
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0)
BYTES = tuple(float(2**power) for power in range(10, 27, 2))
PREFIX = "trailhouse_worker_"
PLACE_KINDS = ("anchor", "folder", "git", "kafka", "witness", "timestamp")
"""What may fail of an anchor: to make it, or one of those who keep or countersign it."""


class Metric(NamedTuple):
    """One metric: its name after PREFIX, its kind, what it says, a histogram's buckets, its label."""

    name: MetricName
    kind: Kind
    help: str
    buckets: tuple[float, ...] = ()
    label: str = ""


METRICS = (
    Metric(
        "records_consumed_total",
        "counter",
        "Kafka records read; one read again after a rebalance counts again.",
    ),
    Metric("records_stored_total", "counter", "Records stored as events and committed."),
    Metric("records_quarantined_total", "counter", "Records quarantined and committed."),
    Metric(
        "sender_timed_records_total",
        "counter",
        "Records that carry their sender's time, since the topic is not LogAppendTime; must be 0.",
    ),
    Metric("commits_total", "counter", "Commits to Kafka: of one batch, or of some small ones."),
    Metric(
        "batches_dropped_total",
        "counter",
        "Batches given up uncommitted: a rebalance took their partitions.",
    ),
    Metric(
        "insert_failures_total",
        "counter",
        "Attempts to store a batch that failed, and were or will be repeated.",
    ),
    Metric(
        "insert_seconds",
        "histogram",
        "Time to store a batch: its bad records, its events, and at a commit the ledger.",
        SECONDS,
    ),
    Metric("batch_rows", "histogram", "Records in a stored batch.", ROWS),
    Metric("batch_bytes", "histogram", "Bytes of records in a stored batch.", BYTES),
    Metric(
        "batch_age_seconds",
        "gauge",
        "How long a batch may fill now: the more, the more workers share the load and the less ClickHouse bears.",
    ),
    Metric(
        "wanted_batch_age_seconds",
        "gauge",
        "How long a batch would fill if ClickHouse bore it; batch_age_seconds above it: back-pressure.",
    ),
    Metric(
        "gathered_inserts",
        "gauge",
        "1 while the server makes one part of what several workers insert, else 0; /health says why.",
    ),
    Metric(
        "parts_share",
        "gauge",
        "Parts of our fullest table, where it slows inserts down: 1; from 0.5 on batches fill longer. NaN: unknown.",
    ),
    Metric(
        "last_commit_timestamp_seconds",
        "gauge",
        "Unix time of the last commit; 0 before the first.",
    ),
    Metric("partitions", "gauge", "Partitions that Kafka has assigned to this worker."),
    Metric("ready", "gauge", "1 when /health answers 200, else 0."),
    Metric(
        "lag_records",
        "gauge",
        "Records of each assigned partition that are not committed yet; by partition.",
        label="partition",
    ),
    Metric(
        "time_to_loss_seconds",
        "gauge",
        "Time until retention deletes a record that nobody has stored, at this rate; +Inf: never, NaN: unknown.",
    ),
    Metric(
        "incidents_total",
        "counter",
        "Ranges of offsets with something wrong for good, see the view incidents; by kind.",
        label="kind",
    ),
    Metric(
        "group_lag_records",
        "gauge",
        "Records of each partition of the topic that the group has not committed, whoever has it; by partition.",
        label="partition",
    ),
    Metric(
        "partition_stalled_seconds",
        "gauge",
        "Time since anything of a partition was committed while records of it wait, else 0; by partition.",
        label="partition",
    ),
    Metric(
        "open_transaction_seconds",
        "gauge",
        "Time that a transaction has kept everybody from reading a partition on, else 0; by partition.",
        label="partition",
    ),
    Metric("group_members", "gauge", "Members of the consumer group, as Kafka knows them."),
    Metric(
        "unknown_group_members",
        "gauge",
        "Members of the consumer group that do not call themselves workers; must be 0.",
    ),
    Metric(
        "warnings",
        "gauge",
        "1 while /health warns of something around the worker, else 0; by kind.",
        label="kind",
    ),
    Metric(
        "missing_events",
        "gauge",
        "Numbers that a producer gave and nobody has; must be 0. Asked by the worker of partition 0.",
    ),
    Metric(
        "log_leaves",
        "gauge",
        "Leaves of the log of each assigned partition, as far as it is committed; by partition.",
        label="partition",
    ),
    Metric(
        "last_checkpoint_timestamp_seconds",
        "gauge",
        "Unix time at which a checkpoint was written last; 0 before the first.",
    ),
    Metric(
        "unsigned_checkpoints",
        "gauge",
        "Logs whose last checkpoint has no signature since the key cannot be used; must be 0.",
    ),
    Metric(
        "last_anchor_timestamp_seconds",
        "gauge",
        "Unix time of the last anchor, by the worker of partition 0; NaN: another one anchors, or nobody has a key.",
    ),
    Metric(
        "anchor_failures_total",
        "counter",
        "Anchors that were not made (`anchor`), or that a place, a witness or an authority did not take; by kind.",
        label="kind",
    ),
    Metric(
        "unanchored_logs",
        "gauge",
        "Logs that are anchored no further, since what is stored of them contradicts itself; must be 0.",
    ),
    Metric(
        "missing_cosignatures",
        "gauge",
        "Logs of the last anchor with fewer cosignatures than the policy's quorum; must be 0.",
    ),
)


class WorkerMetrics:
    """The metrics of one worker; every series but those of a partition exists from the start."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double every series
        self._registry = CollectorRegistry()
        self._exposition = Exposition(self._registry)
        self._counters: dict[MetricName, Counter] = {
            m.name: Counter(PREFIX + m.name, m.help, registry=self._registry)
            for m in _of("counter")
        }
        self._histograms: dict[MetricName, Histogram] = {
            m.name: Histogram(PREFIX + m.name, m.help, buckets=m.buckets, registry=self._registry)
            for m in _of("histogram")
        }
        self._gauges: dict[MetricName, Gauge] = {
            m.name: Gauge(PREFIX + m.name, m.help, registry=self._registry) for m in _of("gauge")
        }
        self._labelled: dict[MetricName, Gauge] = {
            m.name: Gauge(PREFIX + m.name, m.help, [m.label], registry=self._registry)
            for m in METRICS
            if m.kind == "gauge" and m.label
        }
        incidents = _named("incidents_total")
        self._incidents = Counter(
            PREFIX + incidents.name, incidents.help, [incidents.label], registry=self._registry
        )
        # From the start at 0: an alert on a rate sees the first incident only if there was a 0 before it.
        for kind in KINDS:
            self._incidents.labels(kind)
        failures = _named("anchor_failures_total")
        self._anchor_failures = Counter(
            PREFIX + failures.name, failures.help, [failures.label], registry=self._registry
        )
        for place in PLACE_KINDS:
            self._anchor_failures.labels(place)
        self._gauges["last_anchor_timestamp_seconds"].set(math.nan)
        # 0 would mean "now": until it is known it is not a number.
        self._gauges["time_to_loss_seconds"].set(math.nan)
        self._gauges["parts_share"].set(math.nan)

    def consumed(self, records: int) -> None:
        """Count records read."""
        self._counters["records_consumed_total"].inc(records)

    def stored(self, *, seconds: float, rows: int, size_bytes: int) -> None:
        """Note a batch that ClickHouse has acknowledged."""
        self._histograms["insert_seconds"].observe(seconds)
        self._histograms["batch_rows"].observe(rows)
        self._histograms["batch_bytes"].observe(size_bytes)

    def pace(self, *, age_seconds: float, wanted_seconds: float, parts_share: float | None) -> None:
        """Note how long a batch may fill from now on, and what ClickHouse has to do with it; None: unknown."""
        self._gauges["batch_age_seconds"].set(age_seconds)
        self._gauges["wanted_batch_age_seconds"].set(wanted_seconds)
        self._gauges["parts_share"].set(math.nan if parts_share is None else parts_share)

    def gathers(self, is_gathered: bool) -> None:
        """Note how inserts go to the server now."""
        self._gauges["gathered_inserts"].set(is_gathered)

    def insert_failed(self) -> None:
        """Count a failed attempt to store a batch."""
        self._counters["insert_failures_total"].inc()

    def committed(self, *, stored_rows: int, quarantined_rows: int, at_unix_seconds: float) -> None:
        """Note batches that Kafka has acknowledged as done."""
        self._counters["records_stored_total"].inc(stored_rows)
        self._counters["records_quarantined_total"].inc(quarantined_rows)
        self._counters["commits_total"].inc()
        self._gauges["last_commit_timestamp_seconds"].set(at_unix_seconds)

    def sender_timed(self, records: int) -> None:
        """Count stored records that carry their sender's time."""
        self._counters["sender_timed_records_total"].inc(records)

    def dropped(self) -> None:
        """Count a batch given up uncommitted."""
        self._counters["batches_dropped_total"].inc()

    def assigned(self, partitions: int) -> None:
        """Note a new assignment; the lag of partitions that went is forgotten."""
        self._gauges["partitions"].set(partitions)
        # Else a partition that another worker has now would be shown with our last figure for ever.
        self._labelled["lag_records"].clear()
        self._labelled["log_leaves"].clear()

    def lag(self, lag_records: Mapping[int, float]) -> None:
        """Note the lag of each assigned partition."""
        self._set("lag_records", lag_records)

    def group(
        self,
        *,
        lag_records: Mapping[int, float],
        stalled_seconds: Mapping[int, float],
        open_transaction_seconds: Mapping[int, float],
        members: int,
        unknown_members: int,
    ) -> None:
        """Note what was seen of the group; each mapping has every partition of the topic."""
        self._set("group_lag_records", lag_records)
        self._set("partition_stalled_seconds", stalled_seconds)
        self._set("open_transaction_seconds", open_transaction_seconds)
        self._gauges["group_members"].set(members)
        self._gauges["unknown_group_members"].set(unknown_members)

    def incident(self, kind: IncidentKind) -> None:
        """Count a range of offsets that is written to the incidents."""
        self._incidents.labels(kind).inc()

    def time_to_loss(self, seconds: float) -> None:
        """Note how long the oldest record that is not stored has left."""
        self._gauges["time_to_loss_seconds"].set(seconds)

    def missing(self, events: int) -> None:
        """Note how many numbered events nobody has."""
        self._gauges["missing_events"].set(events)

    def logs(self, leaves: Mapping[int, float]) -> None:
        """Note how large the logs of some assigned partitions are."""
        self._set("log_leaves", leaves)

    def checkpoints_written(self, at_unix_seconds: float) -> None:
        """Note that checkpoints are written."""
        self._gauges["last_checkpoint_timestamp_seconds"].set(at_unix_seconds)

    def unsigned_checkpoints(self, logs: int) -> None:
        """Note how many logs' checkpoints could not be signed."""
        self._gauges["unsigned_checkpoints"].set(logs)

    def anchored(self, at_unix_seconds: float | None) -> None:
        """Note when the last anchor was made; None where another worker anchors."""
        at = math.nan if at_unix_seconds is None else at_unix_seconds
        self._gauges["last_anchor_timestamp_seconds"].set(at)

    def anchor_failed(self, kind: str) -> None:
        """Count an anchor that was not made, or that somebody did not take."""
        self._anchor_failures.labels(kind).inc()

    def unanchored(self, *, logs: int, missing_cosignatures: int) -> None:
        """Note how many logs are anchored no further, and how many lack cosignatures."""
        self._gauges["unanchored_logs"].set(logs)
        self._gauges["missing_cosignatures"].set(missing_cosignatures)

    def text(self, *, is_ready: bool, warnings: Container[WarningKind] = ()) -> bytes:
        """Return all series in Prometheus' text format."""
        self._gauges["ready"].set(is_ready)
        for kind in WARNING_KINDS:
            self._labelled["warnings"].labels(kind).set(kind in warnings)
        return self._exposition.text()

    def _set(self, name: MetricName, values: Mapping[int, float]) -> None:
        for partition, value in values.items():
            self._labelled[name].labels(str(partition)).set(value)


def render() -> str:
    """Return all metrics as a Markdown table, for the documents."""
    rows = (f"| `{PREFIX}{m.name}` | {m.kind} | {m.label} | {m.help} |" for m in METRICS)
    return "\n".join(["| Metric | Kind | Label | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _of(kind: Kind) -> list[Metric]:
    return [metric for metric in METRICS if metric.kind == kind and not metric.label]


def _named(name: MetricName) -> Metric:
    return next(metric for metric in METRICS if metric.name == name)
