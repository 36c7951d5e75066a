"""Series in Prometheus' text format, as its client writes them, at half its cost: each name is put together once."""

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

GO_EXPONENT_FROM = 1e6
"""Below it, and from 0 on, Go writes a number as Python does."""


class Exposition:
    """Writes the series of *registry*: counters, gauges and histograms, whose labels are words and numbers of ours."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._heads: dict[str, str] = {}
        self._series: dict[tuple[str, ...], str] = {}

    def text(self) -> bytes:
        """Return all series as they are now."""
        heads, series = self._heads, self._series
        lines: list[str] = []
        for metric in self._registry.collect():
            lines.append(heads.get(metric.name) or self._head(metric))
            for sample in metric.samples:
                name = series.get((sample.name, *sample.labels.values())) or self._named(sample)
                lines += (name, _as_go_writes(float(sample.value)), "\n")
        return "".join(lines).encode()

    def _head(self, metric: Metric) -> str:
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        said = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
        head = f"# HELP {name} {said}\n# TYPE {name} {metric.type}\n"
        self._heads[metric.name] = head
        return head

    def _named(self, sample: Sample) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        named = f"{sample.name}{{{labels}}} " if labels else f"{sample.name} "
        self._series[(sample.name, *sample.labels.values())] = named
        return named


def _as_go_writes(value: float) -> str:
    if 0.0 <= value < GO_EXPONENT_FROM:
        return repr(value)
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
