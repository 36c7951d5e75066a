"""LiteLLM's own OpenTelemetry callback, alone and beside our adapter: each call is recorded once."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from capture_rules import check_runs
from model_server import ModelServer, chat
from trailhouse.capture.litellm import install
from trailhouse.capture.litellm.installing import CALLBACK_LISTS
from trailhouse.producer.testing import InMemoryAuditLogger
from waiting import DEADLINE_SECONDS

SAID = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture
def installed(bare: None, audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record LiteLLM's calls, and stop recording them afterwards."""
    undo = install(audit)
    yield
    undo()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave LiteLLM without anybody's callbacks."""
    for name in CALLBACK_LISTS:
        monkeypatch.setattr(litellm, name, [])


@pytest.fixture
def exported(provider: TracerProvider) -> InMemorySpanExporter:
    """What LiteLLM's own callback has told of calls, beside us on the same provider."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    callback: Any = OpenTelemetry(
        config=OpenTelemetryConfig(exporter="in_memory"), tracer_provider=provider
    )
    litellm.callbacks.append(callback)
    return exporter


async def _until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        await asyncio.sleep(0.005)


async def call(url: str, **more: Any) -> None:
    """Ask the model once."""
    await litellm.acompletion(
        model="openai/gpt-4o",
        messages=[{"role": "user", "content": "hi"}],
        api_base=f"{url}/v1",
        api_key="k",
        max_retries=0,
        **more,
    )


async def test_its_own_spans_alone_tell_a_call(
    audit: InMemoryAuditLogger, exported: InMemorySpanExporter
) -> None:
    """Its callback calls an operation `acompletion` where others say `chat`: that is a model's call, too."""
    with ModelServer(chat("hello", usage=SAID)).running() as url:
        async with audit.run("s-1"):
            await call(url)
            await _until(exported.get_finished_spans)
    (run,) = check_runs(audit.events)
    assert run.types.count("token_usage_updated") == 1
    assert run.end.data["token_usage"]["input_tokens"] == 10


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("times_installed", [1, 2])
async def test_what_its_own_spans_tell_too_is_recorded_once(
    audit: InMemoryAuditLogger, exported: InMemorySpanExporter, times_installed: int
) -> None:
    """Two calls in a run and one outside of any have one usage each, as LiteLLM's spans are recorded as well."""
    undo = install(audit) if times_installed == 2 else None
    with ModelServer(*[chat("hello", usage=SAID)] * 3).running() as url:
        async with audit.run("s-1"):
            await call(url)
            await call(url)
        await call(url, metadata={"session_id": "s-9"})
        await _until(lambda: len(exported.get_finished_spans()) >= 3)
        await _until(lambda: [str(e.type) for e in audit.events].count("token_usage_updated") >= 3)
    if undo is not None:
        undo()

    (run,) = check_runs(audit.events)
    assert run.types.count("token_usage_updated") == 2
    assert run.end.data["token_usage"]["input_tokens"] == 20
    used = [event for event in audit.events if event.type == "token_usage_updated"]
    assert [event.session_id for event in used] == ["s-1", "s-1", "s-9"]
