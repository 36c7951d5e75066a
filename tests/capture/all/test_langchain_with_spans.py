"""LangChain beside instrumentations that make spans of it: once. Named to be last: not all of them uninstrument."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference
from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor as GenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.langchain import LangchainInstrumentor as Traceloop
from opentelemetry.sdk.trace import TracerProvider
from tests.capture.all.langchain_scenes import (
    agent,
    asks,
    calls,
    only_run,
    runs_of,
    says,
    thread,
    used,
)

from model_server import ModelServer, chat, chat_stream
from trailhouse.capture.langchain import install
from trailhouse.producer.testing import InMemoryAuditLogger

SAID = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record what LangChain does, and stop recording it afterwards."""
    undo = install(audit)
    yield
    undo()


@pytest.mark.parametrize("instrumentor", [OpenInference, GenAI, Traceloop])
async def test_what_an_instrumentation_sees_too_is_recorded_once(
    audit: InMemoryAuditLogger, provider: TracerProvider, instrumentor: Any
) -> None:
    """An agent whose spans are recorded as well has one run, one tool call and each usage once."""
    instrumentation = instrumentor()
    instrumentation.instrument(tracer_provider=provider)
    try:
        agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread())
        await agent(calls(("search", "c-1")), says("done")).ainvoke(asks(), thread())
    finally:
        instrumentation.uninstrument()

    for run in runs_of(audit):
        assert run.start.metadata["captured_by"] == "langchain"
        assert run.types.count("tool_call_started") == 1
        assert run.end.data["token_usage"] == used(2)
    assert len(runs_of(audit)) == 2


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_model_of_openai_is_recorded_once_with_what_it_says(
    audit: InMemoryAuditLogger, provider: TracerProvider, is_streamed: bool
) -> None:
    """A call that LangChain and the client's own instrumentation see has one usage, that of its provider."""
    answers = [(chat_stream if is_streamed else chat)("hello", id="c-1", usage=SAID) for _ in "12"]
    instrumentation = OpenAIInstrumentor()
    instrumentation.instrument(tracer_provider=provider)
    try:
        with ModelServer(*answers).running() as url:
            model = ChatOpenAI(
                model="gpt-test",
                base_url=f"{url}/v1",
                api_key="k",
                stream_usage=True,
                streaming=is_streamed,
            )
            with audit.run("s-1"):
                assert (await model.ainvoke("hi")).content == "hello"
    finally:
        instrumentation.uninstrument()

    run = only_run(audit)
    assert run.types == ["run_started", "token_usage_updated", "run_completed"]
    assert run.end.data["token_usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "cache_read_tokens": 4,
        "reasoning_tokens": 2,
    }
