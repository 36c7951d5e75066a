"""What the span processor costs: `python -m benchmarks.otel_spans`, where opentelemetry-sdk is installed.

CPU time of a span with the processor, over the same span without it that logs the same events by `AuditLogger.log`
where the processor does: what is beside the events. In short rounds that take turns, each kind of span by itself; a
twentieth of the rounds is faster than what is printed, so that what else the machine does counts little. With
``--against FOLDER``, another checkout, that one's rounds take turns with ours, each in a process of its own. With
``--profile`` it prints which part of the code what is beside the events goes to, as a profiler sees it: in shares,
for it makes each call dearer.
"""

# pyright: reportMissingImports=false
# The SDK is not in our environment.
from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.draft import GIVEN

SPANS = 100
TURNS = 12
ROUNDS = 25
"""Of each turn."""
HERE = Path(__file__).parents[1]
AGENT: dict[str, str | int] = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "bot",
    "gen_ai.conversation.id": "c-1",
}
KINDS: dict[str, tuple[str, dict[str, str | int]]] = {
    "plain": (
        "GET /orders",
        {
            "http.request.method": "GET",
            "url.path": "/orders",
            "http.response.status_code": 200,
        },
    ),
    "agents": ("invoke_agent bot", AGENT),
    "tools": (
        "execute_tool search",
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.id": "t-1",
            "gen_ai.tool.call.arguments": '{"q": "x"}',
        },
    ),
    "models": (
        "chat m-1",
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m-1",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 2,
        },
    ),
}
"""Spans of no agent, as a service has by the thousand; runs in which nothing happens; the calls of one run."""


PARTS: dict[str, str] = {
    "/capture/otel/": "following spans and reading them",
    "/producer/recording/": "runs, calls and their totals",
    "/trailhouse/": "logging, beyond what it takes by hand",
    "/opentelemetry/": "the SDK, which tells us of spans",
}
"""Parts of the code, by what is in the names of their files."""


class Scene:
    """The spans of one kind, with the processor and without."""

    def __init__(self, kind: str) -> None:
        self.audit = InMemoryAuditLogger()
        self._kind = kind
        bare, audited = TracerProvider(), TracerProvider()
        audited.add_span_processor(AuditSpanProcessor(self.audit))
        self._bare, self._audited = bare.get_tracer("bench"), audited.get_tracer("bench")
        self.with_processor()
        events = [{name: getattr(event, name) for name in GIVEN} for event in self.audit.events]
        self._events: list[dict[str, Any]] = events if kind == "agents" else events[1:-1]
        for event in self._events:
            del event["event_id"]

    def with_processor(self) -> None:
        """Make the spans where the processor sees them."""
        if self._kind in ("plain", "agents"):
            self._make(self._audited, iter(()))
        else:  # the calls of one run
            with self._audited.start_as_current_span("invoke_agent bot", attributes=AGENT):
                self._make(self._audited, iter(()))

    def without(self) -> None:
        """Make the same spans where nobody does, and log by hand what the processor logs."""
        self._make(self._bare, iter(self._events))

    def _make(self, tracer: Tracer, events: Iterator[dict[str, Any]]) -> None:
        name, attributes = KINDS[self._kind]
        is_pair = len(self._events) > SPANS if hasattr(self, "_events") else False
        for _ in range(SPANS):
            with tracer.start_as_current_span(name, attributes=attributes):
                if is_pair and (event := next(events, None)) is not None:
                    self.audit.log(**event)
            if (event := next(events, None)) is not None:
                self.audit.log(**event)

    def forget(self) -> None:
        """Forget what was logged."""
        self.audit.clear()


def microseconds(work: Callable[[], None]) -> float:
    """Return the CPU time of one of the spans that *work* makes."""
    started = time.thread_time()
    work()
    return (time.thread_time() - started) / SPANS * 1e6


def profiled(work: Callable[[], None]) -> dict[str, float]:
    """Return the seconds that the profiler sees in each part; a builtin's are those of whoever calls it."""
    profile = cProfile.Profile()
    profile.enable()
    work()
    profile.disable()
    spent: dict[str, float] = {}
    stats: Any = pstats.Stats(profile)
    for (file, _, _), (_, _, own, _, callers) in stats.stats.items():
        by = [(file, own)] if file != "~" else [(who[0], each[2]) for who, each in callers.items()]
        for name, seconds in by:
            part = next((PARTS[part] for part in PARTS if part in name), "else")
            spent[part] = spent.get(part, 0.0) + seconds
    return spent


def show_parts() -> None:
    """Print what is beside the events, part by part: the median of the rounds' shares."""
    for kind in KINDS:
        scene = Scene(kind)
        shares: dict[str, list[float]] = {}
        for _ in range(TURNS * 2):
            ours, by_hand = profiled(scene.with_processor), profiled(scene.without)
            scene.forget()
            beside = {part: seconds - by_hand.get(part, 0.0) for part, seconds in ours.items()}
            for part, seconds in beside.items():
                shares.setdefault(part, []).append(seconds / sum(beside.values()))
        medians = {part: statistics.median(each) for part, each in shares.items()}
        for part, share in sorted(medians.items(), key=lambda each: -each[1]):
            print(f"{kind:7} {share:6.1%} {part}")


def serve() -> None:
    """Measure a turn for each kind that a line of stdin names, and print the rounds as a line of JSON."""
    scenes: dict[str, Scene] = {}
    for line in sys.stdin:
        kind = line.strip()
        scene = scenes.get(kind) or scenes.setdefault(kind, Scene(kind))
        rounds: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            rounds.append((microseconds(scene.with_processor), microseconds(scene.without)))
            scene.forget()
        print(json.dumps(rounds), flush=True)


class Server:
    """A process that measures the code of one checkout by this file."""

    def __init__(self, checkout: Path) -> None:
        rooms = [checkout / room for room in ("producer", "schemas", "consumer")]
        path = os.pathsep.join(map(str, [*rooms, HERE]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.otel_spans", "--serve"],
            env={**os.environ, "PYTHONPATH": path}, cwd=HERE, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def turn(self, kind: str) -> list[tuple[float, float]]:
        """Return the rounds of a turn: CPU time of a span with the processor, and without."""
        sent, told = self._process.stdin, self._process.stdout
        assert sent is not None
        assert told is not None
        sent.write(f"{kind}\n")
        sent.flush()
        return [(one, other) for one, other in json.loads(told.readline())]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def quick(times: list[float]) -> float:
    """Return the time that a twentieth of *times* is below."""
    return statistics.quantiles(times, n=20)[0]


def compare(checkouts: list[Path]) -> None:
    """Measure the checkouts in turns, and print."""
    servers = [Server(checkout) for checkout in checkouts]
    for kind in KINDS:
        turns: list[list[tuple[float, float]]] = [[] for _ in servers]
        ratios: list[float] = []
        for _ in range(TURNS):
            beside: list[float] = []
            for server, rounds in zip(servers, turns, strict=True):
                new = server.turn(kind)
                rounds += new
                audited, by_hand = (quick(list(times)) for times in zip(*new, strict=True))
                beside.append(audited - by_hand)
            ratios.append(beside[0] / beside[-1])
        for checkout, rounds in zip(checkouts, turns, strict=True):
            audited, by_hand = (quick(list(times)) for times in zip(*rounds, strict=True))
            print(
                f"{kind:7} {audited:6.1f} µs a span, {by_hand:6.1f} without the processor and its events by hand:"
                f" {audited - by_hand:+6.1f} ({checkout.resolve().name})"
            )
        if len(servers) > 1:
            print(
                f"{kind:7} {statistics.median(ratios):6.2f} of the other's, the median of {TURNS} turns"
            )
    for server in servers:
        server.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, to take turns with")
    parser.add_argument("--profile", action="store_true", help="print the parts of it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.profile:
        show_parts()
    else:
        compare([HERE] + ([] if options.against is None else [options.against]))


if __name__ == "__main__":
    main()
