"""CrewAI beside the instrumentation that makes spans of it: recorded once, and undone in whatever order."""

from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest
from crewai.events.event_bus import crewai_event_bus
from crewai.flow.flow import Flow, start
from openinference.instrumentation.crewai import CrewAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.capture.crewai.scripted import (
    CALL,
    agent,
    broken_look_up,
    crew_of,
    look_up,
    model,
    only_run,
)

from capture_rules import Recorded, check_runs, outcome_of
from trailhouse.capture.crewai import install
from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.testing import InMemoryAuditLogger


@pytest.fixture(autouse=True)
def installed() -> None:
    """Leave it to each test when we are installed."""


@pytest.fixture
def provider(audit: InMemoryAuditLogger) -> Iterator[TracerProvider]:
    """Return a provider whose spans are recorded."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(AuditSpanProcessor(audit))
    yield provider
    provider.shutdown()


@pytest.fixture
def exported(provider: TracerProvider) -> InMemorySpanExporter:
    """What the application's own telemetry is told."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def succeeds() -> str:
    return str(crew_of(agent(model([CALL], "the answer"), tools=[look_up])).kickoff())


def has_a_tool_that_fails() -> str:
    return str(crew_of(agent(model([CALL], "sorry"), tools=[broken_look_up])).kickoff())


def has_two_agents() -> str:
    return str(crew_of(agent(model("a"), role="first"), agent(model("b"), role="second")).kickoff())


def fails() -> str:
    def fail() -> str:
        raise ConnectionError("down")

    return str(crew_of(agent(model(fail))).kickoff())


def is_interrupted() -> str:
    def interrupt() -> str:
        raise KeyboardInterrupt

    return str(crew_of(agent(model(interrupt))).kickoff())


def is_an_agent_alone() -> str:
    return str(agent(model([CALL], "the answer"), tools=[look_up]).kickoff("a question").raw)


def is_a_flow() -> str:
    class Reporting(Flow):
        @start()
        async def begin(self) -> str:
            return str(crew_of(agent(model("from the crew"))).kickoff())

    return str(Reporting().kickoff())


APPLICATIONS = [
    succeeds,
    has_a_tool_that_fails,
    has_two_agents,
    fails,
    is_interrupted,
    is_an_agent_alone,
    is_a_flow,
]


def shape(runs: list[Recorded]) -> list[Any]:
    """What was recorded, without ids and times."""
    order = [run.run_id for run in runs]
    return [
        (
            run.types,
            run.start.agent_id,
            run.start.metadata["captured_by"],
            run.end.data.get("token_usage"),
            order.index(run.start.parent_run_id) if run.start.parent_run_id else None,
        )
        for run in runs
    ]


@pytest.mark.parametrize(
    ("application", "is_first", "uses_event_listener"),
    [
        *((application, number % 2 == 0, False) for number, application in enumerate(APPLICATIONS)),
        (succeeds, False, False),
        (succeeds, True, True),
        (has_a_tool_that_fails, False, True),
    ],
)
def test_what_the_instrumentation_sees_too_is_recorded_once(
    audit: InMemoryAuditLogger,
    provider: TracerProvider,
    exported: InMemorySpanExporter,
    application: Any,
    is_first: bool,
    uses_event_listener: bool,
) -> None:
    """With spans or without, installed before them or after, the same is recorded and the application sees the same."""
    undo = install(audit)
    seen = Context().run(outcome_of, application)  # Ctrl-C leaves events of CrewAI open in its own
    undo()
    alone = shape(check_runs(audit.events))
    audit.clear()

    instrumentation = CrewAIInstrumentor()
    if is_first:
        undo = install(audit)
    instrumentation.instrument(tracer_provider=provider, use_event_listener=uses_event_listener)
    try:
        if not is_first:
            undo = install(audit)
        assert Context().run(outcome_of, application) == seen
    finally:
        crewai_event_bus.flush()
        undo()
        instrumentation.uninstrument()
    assert shape(check_runs(audit.events)) == alone
    assert exported.get_finished_spans()


def test_taken_out_we_leave_the_instrumentation_in(
    audit: InMemoryAuditLogger, provider: TracerProvider, exported: InMemorySpanExporter
) -> None:
    """Spans that are wrapped round us go on once we are out, and nothing of ours comes back when they go."""
    undo = install(audit)
    instrumentation = CrewAIInstrumentor()
    instrumentation.instrument(tracer_provider=provider)
    undo()
    try:
        assert succeeds() == "the answer"
    finally:
        instrumentation.uninstrument()
    assert [span.name for span in exported.get_finished_spans() if "kickoff" in span.name]
    assert only_run(audit).start.metadata["captured_by"] == "otel"

    audit.clear()
    assert succeeds() == "the answer"
    assert audit.events == []


@pytest.mark.parametrize("uses_event_listener", [False, True], ids=["wrappers", "listener"])
def test_spans_alone_name_the_agent(
    audit: InMemoryAuditLogger, provider: TracerProvider, uses_event_listener: bool
) -> None:
    """Without the adapter a run is its agent's by name, and not by its span's, which holds what it was asked."""
    instrumentation = CrewAIInstrumentor()
    instrumentation.instrument(tracer_provider=provider, use_event_listener=uses_event_listener)
    try:
        Context().run(succeeds)
        crewai_event_bus.flush()
    finally:
        instrumentation.uninstrument()
    run = only_run(audit)
    assert run.start.agent_id == "researcher"
    assert run.types.count("tool_call_completed") == 1
