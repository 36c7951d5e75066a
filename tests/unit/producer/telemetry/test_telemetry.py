"""The rules of telemetry: who is called, with what, and that nobody is harmed."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from trailhouse.producer import telemetry
from trailhouse.schemas import Run, Session

RUN, SESSION = Run("r", "s"), Session("s")
ALL = ("run.start", "run.stop", "run.exception", "usage.report", "adapter.*")
Report = tuple[str, Mapping[str, Any], Mapping[str, Any]]


@pytest.fixture
def reports() -> Iterator[list[Report]]:
    """Collect every report of a test."""
    seen: list[Report] = []
    telemetry.attach("test", ALL, lambda *report: seen.append(report))
    yield seen
    telemetry.detach("test")


def names(reports: list[Report]) -> list[str]:
    return [name for name, _, _ in reports]


def test_each_report_has_its_name(reports: list[Report]) -> None:
    """Every function reports under its documented name."""
    telemetry.emit_run_start(RUN, SESSION)
    telemetry.emit_run_end(
        RUN, SESSION, {"token_usage": {"input_tokens": 3, "note": "x"}, "cost_usd": 0.5}
    )
    telemetry.emit_error(RUN, SESSION, ValueError("v"))
    telemetry.emit_usage_metrics(SESSION, {"input_tokens": 1, "model": "m", "cached": True})
    telemetry.emit_adapter_event(
        RUN, SESSION, {"type": "tool_call_started", "data": {"tool_name": "t"}}
    )

    assert names(reports) == [
        "run.start",
        "run.stop",
        "run.exception",
        "usage.report",
        "adapter.tool_call_started",
    ]
    assert reports[1][1] == {"input_tokens": 3, "cost_usd": 0.5}
    assert reports[3][1] == {"input_tokens": 1}, "only numbers are measurements"
    assert reports[2][2]["is_cancelled"] is False


def test_a_span_reports_start_and_stop(reports: list[Report]) -> None:
    """A block that ends well reports its start, its stop, its result and its duration."""
    with telemetry.span(RUN, SESSION) as span:
        span.result = {"stop_reason": "end"}

    assert names(reports) == ["run.start", "run.stop"]
    assert reports[1][2]["result"]["stop_reason"] == "end"
    assert reports[1][1]["duration_ms"] >= 0


def test_a_span_reports_a_failure_and_lets_it_pass(reports: list[Report]) -> None:
    """An exception is reported as a failure, with its duration, and goes on."""
    with pytest.raises(ValueError, match="boom"), telemetry.span(RUN, SESSION):
        raise ValueError("boom")

    assert names(reports) == ["run.start", "run.exception"]
    assert reports[1][2]["is_cancelled"] is False
    assert "duration_ms" in reports[1][1]


def test_an_async_span_tells_a_cancellation_from_a_failure(reports: list[Report]) -> None:
    """A cancelled task is reported as cancelled, never as completed or failed."""

    async def run() -> None:
        async with telemetry.span(RUN, SESSION):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(run())
        await asyncio.sleep(0)  # one turn, so that the span is open
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert names(reports) == ["run.start", "run.exception"]
    assert reports[1][2]["is_cancelled"] is True


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_being_stopped_from_outside_is_a_cancellation(
    reports: list[Report], error: BaseException
) -> None:
    """Ctrl-C, an exit and a closed generator cancel a run; they are no failure of it."""
    with pytest.raises(type(error)), telemetry.span(RUN, SESSION):
        raise error

    assert reports[1][2]["is_cancelled"] is True


def test_a_raising_handler_harms_nobody(
    reports: list[Report], caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that raises is logged without its message, stays attached, and stops nobody."""

    def broken(name: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        raise RuntimeError("a secret")

    telemetry.attach("broken", ALL, broken)
    try:
        with caplog.at_level(logging.ERROR):
            telemetry.emit_run_start(RUN, SESSION)
            telemetry.emit_run_start(RUN, SESSION)
    finally:
        telemetry.detach("broken")

    assert names(reports) == ["run.start", "run.start"]
    assert caplog.text.count("broken raised RuntimeError") == 2
    assert "a secret" not in caplog.text


def test_attaching_and_detaching_are_idempotent(reports: list[Report]) -> None:
    """Attaching an id twice calls it once; detaching twice, or the unknown, does nothing."""
    seen: list[str] = []
    for _ in range(2):
        telemetry.attach("again", "run.start", lambda name, *_: seen.append(name))
    telemetry.emit_run_start(RUN, SESSION)
    telemetry.detach("again")
    telemetry.detach("again")
    telemetry.detach("never attached")
    telemetry.emit_run_start(RUN, SESSION)

    assert seen == ["run.start"]
    assert len(reports) == 2


def test_switching_off_is_for_one_context(reports: list[Report]) -> None:
    """Telemetry switched off in one context goes on in every other thread and context."""

    def off() -> bool:
        telemetry.set_enabled(False)
        telemetry.emit_run_start(RUN, SESSION)
        return telemetry.is_enabled()

    assert contextvars.copy_context().run(off) is False
    thread = threading.Thread(target=telemetry.emit_run_start, args=(RUN, SESSION))
    thread.start()
    thread.join(120)

    assert telemetry.is_enabled() is True
    assert names(reports) == ["run.start"]


@pytest.mark.parametrize("odd", [None, 7, "text", [1], object()])
def test_a_report_never_raises(odd: Any, reports: list[Report]) -> None:
    """Whatever a caller hands over, reporting harms nobody: it is for the handlers to judge."""
    telemetry.emit_run_start(odd, odd)
    telemetry.emit_run_end(odd, odd, odd)
    telemetry.emit_error(odd, odd, odd)
    telemetry.emit_usage_metrics(odd, odd)
    telemetry.emit_adapter_event(odd, odd, odd)

    assert names(reports)[:4] == ["run.start", "run.stop", "run.exception", "usage.report"]
