"""A metric's name stands in one table: no other is shown, none is missed by a typo, and no other module makes one."""

import ast
from pathlib import Path
from typing import get_args

from trailhouse.consumer.monitoring import metrics as module
from trailhouse.consumer.monitoring.metrics import METRICS, PREFIX, MetricName, WorkerMetrics

ROOT = Path(__file__).parents[4]
HOLDERS = {
    "_counters": "counter",
    "_histograms": "histogram",
    "_gauges": "gauge",
    "_labelled": "gauge",
}
"""What holds the series of each kind in `WorkerMetrics`."""


def used() -> list[tuple[str, str, bool]]:
    """Return each name that `WorkerMetrics` uses, the kind that it uses it as, and whether with a label."""
    found = []
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        match node:
            case ast.Subscript(
                value=ast.Attribute(attr=holder), slice=ast.Constant(value=str(name))
            ):
                found.append((name, HOLDERS[holder], holder == "_labelled"))
            case ast.Call(func=ast.Attribute(attr="_set"), args=[ast.Constant(value=str(name)), _]):
                found.append((name, "gauge", True))
            case ast.Call(func=ast.Name(id="_named"), args=[ast.Constant(value=str(name))]):
                found.append((name, "counter", True))
            case _:
                pass
    return found


def test_the_type_has_the_names_of_the_table() -> None:
    """So that a type checker finds a name that the table has not; each stands there once."""
    assert list(get_args(MetricName)) == [metric.name for metric in METRICS]
    assert len(set(get_args(MetricName))) == len(METRICS)


def test_each_metric_is_set_somewhere_and_as_what_it_is() -> None:
    """None is shown that nobody sets, and none is used as another kind than the table says."""
    table = {(metric.name, metric.kind, bool(metric.label)) for metric in METRICS}
    assert set(used()) == table


def test_only_the_table_is_shown() -> None:
    """Every series that a worker shows is of a metric of the table, with its prefix."""
    told = WorkerMetrics().text(is_ready=True).decode().splitlines()
    shown = {line.split()[2] for line in told if line.startswith("# HELP")}
    # The client library shows a counter's family under its name with `_total`.
    assert shown == {PREFIX + metric.name for metric in METRICS}


def test_no_other_module_makes_a_metric() -> None:
    """Counters, gauges and histograms are imported in one place of the worker."""
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    importing = {
        str(file.relative_to(ROOT))
        for room in ("producer", "consumer", "schemas")
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        if kinds & {each.name for each in node.names}
    }
    assert importing == {str(Path(module.__file__).relative_to(ROOT))}
