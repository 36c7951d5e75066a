"""Calls of the `openai` and `anthropic` clients within a run of plain Python, by their instrumentations' spans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from anthropic import Anthropic
from openai import AuthenticationError, OpenAI
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from capture_rules import Recorded, check_runs
from model_server import ModelServer, chat, chat_stream, message, response, says
from openai_agents_scene import of_type
from trailhouse.capture.otel import AuditSpanProcessor
from trailhouse.producer.testing import InMemoryAuditLogger

CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40},
}
ASKED = [{"role": "user", "content": "go"}]


@pytest.fixture(autouse=True)
def instrumented(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Both clients are instrumented, and their spans recorded."""
    provider = TracerProvider()
    provider.add_span_processor(AuditSpanProcessor(audit))
    instrumentors = OpenAIInstrumentor(), AnthropicInstrumentor()
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    yield
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    provider.shutdown()


def only(audit: InMemoryAuditLogger) -> Recorded:
    """Return the only run."""
    (run,) = check_runs(audit.events)
    return run


def openai_at(url: str) -> OpenAI:
    """A client of the provider at *url*."""
    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def test_a_chat_completion_is_told_in_the_bound_run(audit: InMemoryAuditLogger) -> None:
    """A call within a run is that run's usage, with the provider's id of the answer."""
    with ModelServer(chat("hi", usage=CHAT_USAGE)).running() as url, audit.run("s-1"):
        openai_at(url).chat.completions.create(model="gpt-test", messages=ASKED)

    run = only(audit)
    assert run.start.session_id == "s-1"
    (used,) = of_type(run, "token_usage_updated")
    assert used == {
        "model": "gpt-test",
        "model_call_id": "chatcmpl-1",
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 40,
    }
    assert run.end.data["token_usage"]["input_tokens"] == 100


def test_two_answers_with_the_same_id_are_two_calls(audit: InMemoryAuditLogger) -> None:
    """A provider that gives all its answers the same id has answered as often as it has."""
    answers = [chat("hi", usage=CHAT_USAGE), chat("hi", usage=CHAT_USAGE)]
    with ModelServer(*answers).running() as url, audit.run("s-1"):
        for _ in answers:
            openai_at(url).chat.completions.create(model="gpt-test", messages=ASKED)

    assert only(audit).end.data["token_usage"]["input_tokens"] == 200


@pytest.mark.parametrize("asks_usage", [True, False], ids=["usage", "no usage"])
def test_a_stream(audit: InMemoryAuditLogger, asks_usage: bool) -> None:
    """A streamed answer is told once it has been read; without usage in the stream that is missing, and not 0."""
    stream = chat_stream("hi there", usage=CHAT_USAGE if asks_usage else None)
    with ModelServer(stream).running() as url, audit.run("s-1"):
        for _ in openai_at(url).chat.completions.create(
            model="gpt-test", messages=ASKED, stream=True
        ):
            pass

    (used,) = of_type(only(audit), "token_usage_updated")
    assert used.get("input_tokens") == (100 if asks_usage else None)
    assert used.get("usage_missing", False) is not asks_usage


def test_a_response(audit: InMemoryAuditLogger) -> None:
    """A call of the responses API is told like any other, with its reasoning tokens."""
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    with ModelServer(response(says("hi"), usage=usage)).running() as url, audit.run("s-1"):
        openai_at(url).responses.create(model="gpt-test", input="go")

    (used,) = of_type(only(audit), "token_usage_updated")
    assert (used["output_tokens"], used["reasoning_tokens"]) == (20, 5)
    assert used["model_call_id"] == "resp-1"


def test_an_anthropic_message(audit: InMemoryAuditLogger) -> None:
    """Anthropic's raw input leaves out the cache; what is told holds it. Its client's own span tells nothing twice."""
    usage = {
        "input_tokens": 60,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 10,
        "output_tokens": 20,
    }
    with ModelServer(message("hi", usage=usage)).running() as url, audit.run("s-1"):
        client = Anthropic(base_url=url, api_key="none", max_retries=0)
        client.messages.create(model="claude-test", max_tokens=9, messages=ASKED)  # type: ignore[arg-type, unused-ignore]

    run = only(audit)
    (used,) = of_type(run, "token_usage_updated")
    assert {key: used[key] for key in used if key.endswith("_tokens")} == {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 30,
        "cache_write_tokens": 10,
    }
    assert used["model_call_id"] == "msg-1"


def test_a_refused_call_has_failed(audit: InMemoryAuditLogger) -> None:
    """A call that the provider refuses is a failed model call; the run is what the application makes of it."""
    with ModelServer(401).running() as url, audit.run("s-1"), pytest.raises(AuthenticationError):
        openai_at(url).chat.completions.create(model="gpt-test", messages=ASKED)

    run = only(audit)
    (failed,) = of_type(run, "model_call_failed")
    assert failed["error_code"] == "openai.AuthenticationError"
    assert not of_type(run, "token_usage_updated")
    assert run.end.type == "run_completed"
