"""What the API counts, as Prometheus reads it; no label holds what a request or a token says."""

import threading
from collections import Counter
from typing import NamedTuple

BOUNDS_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Labels(NamedTuple):
    """The route as it stands in the table of routes, and the class of the status."""

    route: str
    status: str


class Metrics:
    """Counters of one server; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[_Labels] = Counter()
        self._within: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._running = 0

    def begin(self) -> None:
        """Count a request that begins."""
        with self._lock:
            self._running += 1

    def end(self, route: str, status: int, seconds: float, size_bytes: int) -> None:
        """Count a request that has ended, by its route in the table: never by its path."""
        with self._lock:
            self._running -= 1
            self._requests[_Labels(route, f"{status // 100}xx" if status != 429 else "429")] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]  # a counter of floats
            self._bytes[route] += size_bytes
            for bound in BOUNDS_SECONDS:
                self._within[route, bound] += seconds <= bound

    def render(self) -> str:
        """Return everything in the text format of Prometheus."""
        with self._lock:
            totals: Counter[str] = Counter()
            lines = _head(
                "trailhouse_api_requests_total", "counter", "Requests by route and status."
            )
            for labels, count in sorted(self._requests.items()):
                totals[labels.route] += count
                lines.append(
                    f'trailhouse_api_requests_total{{route="{labels.route}",status="{labels.status}"}} {count}'
                )
            name = "trailhouse_api_request_seconds"
            lines += _head(name, "histogram", "How long requests took, streams included.")
            for route, total in sorted(totals.items()):
                lines += [
                    f'{name}_bucket{{route="{route}",le="{bound:g}"}} {self._within[route, bound]}'
                    for bound in BOUNDS_SECONDS
                ]
                lines.append(f'{name}_bucket{{route="{route}",le="+Inf"}} {total}')
                lines.append(f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}')
                lines.append(f'{name}_count{{route="{route}"}} {total}')
            name = "trailhouse_api_answered_bytes_total"
            lines += _head(name, "counter", "Bytes of answers.")
            lines += [
                f'{name}{{route="{route}"}} {size}' for route, size in sorted(self._bytes.items())
            ]
            lines += _head(
                "trailhouse_api_requests_running", "gauge", "Requests now, streams included."
            )
            lines.append(f"trailhouse_api_requests_running {self._running}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, says: str) -> list[str]:
    return [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
