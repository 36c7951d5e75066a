"""The examination of a process with the real frameworks: what is imported, instrumented, and sampled away."""

import subprocess
import sys

import msgspec
import pytest

from trailhouse.capture.doctor import CaptureReport

PREPARED = """
import sys
from trailhouse.capture import doctor, openai_agents, otel
from trailhouse.producer.testing import InMemoryAuditLogger
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
audit = InMemoryAuditLogger()
"""
REPORTED = "\nimport msgspec; sys.stdout.buffer.write(msgspec.json.encode(doctor.report()))"


def examined(code: str) -> CaptureReport:
    """Return what a process that runs *code* says of itself."""
    words = [sys.executable, "-c", PREPARED + code + REPORTED]
    done = subprocess.run(words, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=CaptureReport)


def problems(report: CaptureReport) -> list[str]:
    return [finding.kind for finding in report.findings if finding.severity == "problem"]


def test_a_framework_with_nothing() -> None:
    """A framework that an application imports, and does not have recorded, is seen by nobody."""
    report = examined("import agents")

    assert problems(report) == ["seen_by_nobody"]


def test_a_framework_with_its_adapter() -> None:
    """With its adapter there is nothing to find, also where its own tracing is off."""
    report = examined(
        "import os; os.environ['OPENAI_AGENTS_DISABLE_TRACING'] = '1'\nopenai_agents.install(audit)"
    )

    assert report.findings == []
    [state] = [each for each in report.frameworks if each.name == "openai_agents"]
    assert (state.version, state.imported, state.recorded_by) == (state.tried, True, ["adapter"])


def test_every_version_here_was_tried() -> None:
    """What is said to be tried is what is installed here."""
    assert [finding for finding in examined("").findings if finding.kind == "version_untried"] == []


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ("None", []),
        ("ALWAYS_OFF", ["sampled_away"]),
        ("ParentBased(ALWAYS_OFF)", ["sampled_away"]),
        ("TraceIdRatioBased(0.5)", ["sampled_away"]),
        ("ParentBased(TraceIdRatioBased(0.5))", ["sampled_away"]),
        ("ParentBased(TraceIdRatioBased(1.0))", []),
        ("otel.audit_sampler(ALWAYS_OFF)", []),
    ],
)
def test_a_processor_and_its_sampler(sampler: str, expected: list[str]) -> None:
    """A processor that was added by hand sees what the sampler leaves it: the wrapper leaves it agents."""
    report = examined(
        f"provider = TracerProvider(sampler={sampler})\ntrace.set_tracer_provider(provider)\n"
        "provider.add_span_processor(otel.AuditSpanProcessor(audit))"
    )

    assert problems(report) == expected


def test_otel_that_is_installed() -> None:
    """`otel.install` wraps the sampler, so that nothing is sampled away from it."""
    report = examined(
        "trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))\notel.install(audit)"
    )

    assert report.findings == []


def test_spans_of_another_provider() -> None:
    """A provider that is set after the installation has not our processor: that is told."""
    report = examined(
        "otel.install(audit, TracerProvider())\ntrace.set_tracer_provider(TracerProvider())"
    )

    assert problems(report) == ["other_tracer_provider"]


def test_no_provider_at_all() -> None:
    """Spans that no provider of the SDK makes are nobody's."""
    assert problems(examined("otel.install(audit, TracerProvider())")) == ["no_tracer_provider"]


def test_an_adapter_and_spans_of_the_same_framework() -> None:
    """Both at once is no problem: the adapter records. Two instrumentations are one."""
    both = examined(
        "openai_agents.install(audit); otel.install(audit)\n"
        "import openinference.instrumentation.openai_agents"
    )
    twice = examined(
        "otel.install(audit)\nimport openinference.instrumentation.langchain\n"
        "import opentelemetry.instrumentation.langchain"
    )

    assert [finding.kind for finding in both.findings] == ["adapter_and_spans"]
    [state] = [each for each in both.frameworks if each.name == "openai_agents"]
    assert state.recorded_by == ["adapter", "otel"]
    assert problems(twice) == ["instrumented_twice"]
