"""What we aim at, held against what was measured. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks import asleep, pace, quiet
from benchmarks.drain import CEILING
from benchmarks.drain import OURS as WORKER
from benchmarks.emit import OURS as LOGGER
from benchmarks.rounds import Rounds

Results = Mapping[str, Any]


class Aim(NamedTuple):
    """One aim: a figure that should be at least, or at most, a bound."""

    what: str
    measured: float
    sign: str
    bound: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side of the bound."""
        return self.measured >= self.bound if self.sign == "≥" else self.measured <= self.bound


def table(results: Results) -> str:
    """Return all aims as a Markdown table."""
    lines = ["| aim | measured | |", "|---|---|---|"]
    lines += [
        f"| {aim.what} {aim.sign} {aim.bound:,g}{aim.unit} | {_figure(aim.measured)}{aim.unit}"
        f" | {'met' if aim.is_met else '**not met**'} |"
        for aim in aims(results)
    ]
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def aims(results: Results) -> Iterator[Aim]:
    """Yield every aim that *results* tell of."""
    parts = (
        ("drain", _drain), ("sizes", _sizes), ("emit", _emit), ("freshness", _freshness),
        ("quiet", _quiet), ("asleep", _asleep), ("pace", _pace),
        ("sessions", _sessions), ("storage", _storage), ("growth", _growth),
    )  # fmt: skip
    for name, of in parts:
        if name in results:
            yield from of(results[name])


def _rounds(rounds: list[dict[str, dict[str, float]]]) -> Rounds:
    found = Rounds()
    found.rounds = rounds
    return found


def _drain(section: Results) -> Iterator[Aim]:
    rounds = _rounds(section["rounds"])
    for other, bound in (
        (CEILING, 0.85),
        ("aiokafka by hand", 1.5),
        ("Quix Streams", 2.0),
        ("Faust agent", 10.0),
    ):
        ratio = rounds.ratio(WORKER, other, "events_per_second").median
        yield Aim(f"drain: events/s over those of {other}", ratio, "≥", bound, " ×")
    cpu = rounds.spread(WORKER, "cpu_us_per_event").median
    yield Aim("drain: the worker's CPU an event", cpu, "≤", 8.0, " µs")


def _sizes(section: Results) -> Iterator[Aim]:
    shapes, sizes = _rounds(section["shapes"]), _rounds(section["sizes"])
    two = shapes.ratio("12 partitions, 2 workers", "12 partitions, 1 workers", "events_per_second")
    yield Aim("12 partitions: two workers over one", two.median, "≥", 1.6, " ×")
    peaks = [
        sizes.spread(name, "peak_mb").high for name in sizes.contestants if name.startswith(WORKER)
    ]
    yield Aim("the worker's memory at any size up to 64 kB", max(peaks), "≤", 250.0, " MB")


def _emit(section: Results) -> Iterator[Aim]:
    rounds = _rounds(section["modes"]["one_thread"])

    def of(name: str, quantity: str) -> float:
        return rounds.spread(name, quantity).median

    yield Aim("log, durable: caller's p50", of(LOGGER, "p50_us"), "≤", 6.0, " µs")
    yield Aim("log, durable: caller's p99", of(LOGGER, "p99_us"), "≤", 50.0, " µs")
    cpu = of(LOGGER, "cpu_us_per_event")
    yield Aim("log, durable: CPU of all threads an event", cpu, "≤", 9.0, " µs")
    memory = of("trailhouse, memory", "cpu_us_per_event")
    yield Aim("log: CPU of the spool an event", cpu - memory, "≤", 3.0, " µs")
    other = rounds.ratio("OpenTelemetry batch log processor", LOGGER, "cpu_us_per_event").median
    yield Aim("log: CPU of OpenTelemetry's batch processor over ours", other, "≥", 2.0, " ×")
    extra = max(_rounds(mode).spread(LOGGER, "extra_mb").high for mode in section["modes"].values())
    yield Aim("the logger's memory over its host's", extra, "≤", 60.0, " MB")
    eight = _rounds(section["modes"]["eight_threads"])
    p99 = eight.spread(LOGGER, "flat_p99_us").median / 1e3
    yield Aim("log, eight threads flat out: caller's p99", p99, "≤", 1.0, " ms")
    share = eight.spread(LOGGER, "mean_us").median / of(LOGGER, "mean_us")
    yield Aim("log, eight threads flat out: mean over that of one thread", share, "≤", 1.5, " ×")


def _freshness(section: Results) -> Iterator[Aim]:
    rounds = _rounds(section["rounds"])
    for rate, quantity, bound in (
        (1_000, "p50_ms", 200.0),
        (1_000, "p99_ms", 330.0),
        (10_000, "p99_ms", 2_000.0),
    ):
        measured = rounds.spread(f"{rate} events/s", quantity).median
        name = quantity.removesuffix("_ms")
        yield Aim(f"freshness at {rate:,} events/s: {name}", measured, "≤", bound, " ms")


_ENGINE_PERCENTS = {
    quiet.ONE: 8.0,
    quiet.EIGHT: 20.0,
    quiet.ONE_SLOW: 3.0,
    quiet.EIGHT_SLOW: 9.0,
    quiet.TWELVE: 40.0,
    quiet.TWELVE_SLOW: 15.0,
}


def _quiet(section: Results) -> Iterator[Aim]:
    rounds = _rounds(section["rounds"])
    for case, bound in _ENGINE_PERCENTS.items():
        name = quiet.name_of(case)
        if name in rounds.contestants:  # the short plan has not all
            where = f"quiet hours, {name.removeprefix(f'{WORKER}: ')}"
            engine = rounds.spread(name, "engine_percent").median
            yield Aim(f"{where}: the engine", engine, "≤", bound, " % of a core")
            p99 = rounds.spread(name, "p99_ms").median
            yield Aim(f"{where}: visible, p99", p99, "≤", case.wait_seconds * 1e3, " ms")


def _asleep(section: Results) -> Iterator[Aim]:
    percents = section["percents"]
    for what, process, bound in (
        (asleep.WORKER, "worker", 0.3),
        (asleep.LOGGER, asleep.BEYOND, 0.1),
        (asleep.DEV, asleep.ALL, 3.0),
    ):
        yield Aim(f"asleep: {what}", percents[what][process], "≤", bound, " % of a core")


def _pace(section: Results) -> Iterator[Aim]:
    rounds = _rounds(section["rounds"])
    for rate, bound in ((1_000, 45.0), (100, 90.0), (10, 150.0)):
        cpu = rounds.spread(pace.name_of(rate), "cpu_us_per_event").median
        where = f"log, durable, {rate:,} events/s: CPU an event beyond a host that sleeps"
        yield Aim(where, cpu, "≤", bound, " µs")


def _sessions(section: Results) -> Iterator[Aim]:
    [busy] = [case for case in section["cases"] if case["draining"]]
    [quiet] = [
        case
        for case in section["cases"]
        if not case["draining"] and case["events"] == busy["events"]
    ]
    for size in ("20", "200"):
        times = quiet["times"][size][WORKER]
        where = f"session of {size} among {quiet['events']:,}"
        yield Aim(f"{where}: p50", median(times), "≤", 8.0, " ms")
        yield Aim(f"{where}: p99", _p99(times), "≤", 30.0, " ms")
    ratio = max(
        median(ours / hand for ours, hand in zip(times[WORKER], times["by hand"], strict=True))
        for times in quiet["times"].values()
    )
    yield Aim("session read over SQL by hand, the worst size", ratio, "≤", 1.2, " ×")
    worst = max(_p99(busy["times"][size][WORKER]) for size in ("20", "200"))
    yield Aim("session of 20 or 200 while a worker drains: p99", worst, "≤", 100.0, " ms")


def _storage(section: Results) -> Iterator[Aim]:
    yield Aim("storage over `zstd -19` of the records", section["ratio"], "≤", 2.2, " ×")
    yield Aim("the same with what reads need", section["ratio_with_reads"], "≤", 2.9, " ×")


def _growth(section: Results) -> Iterator[Aim]:
    stretches = section["stretches"]
    first, last = stretches[0], stretches[-1]
    where = f"from {first['up_to']:,} to {last['up_to']:,} events"
    cpu = last["cpu_us_per_event"] / min(each["cpu_us_per_event"] for each in stretches)
    yield Aim(f"growth of the worker's CPU an event {where}", cpu, "≤", 1.1, " ×")
    seconds = max(each["events_per_second"] for each in stretches) / last["events_per_second"]
    yield Aim(f"growth of the time of an event {where}", seconds, "≤", 1.1, " ×")
    memory = last["peak_mb"] - first["peak_mb"]
    yield Aim(f"growth of the worker's memory {where}", memory, "≤", 20.0, " MB")


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
