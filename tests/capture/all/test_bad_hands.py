"""Adapters in bad hands: a handler of ours that raises, a version that is not known, a thread that knows no run."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import litellm
import pytest
from tests.capture.all.langchain_scenes import agent, asks, calls, says, thread

import openai_agents_scene as openai
from capture_rules import check_runs, check_same_outcome
from model_server import ModelServer, chat
from trailhouse.capture import claude_agent, langchain, openai_agents, otel
from trailhouse.capture import litellm as litellm_adapter
from trailhouse.capture.installation import is_installed
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import ConfigError
from waiting import DEADLINE_SECONDS

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def broken(*_: object, **__: object) -> None:
    """Stand for a function of ours that a change of the framework has broken."""
    raise RuntimeError("broken")


def ask(url: str, metadata: dict[str, str] | None = None) -> Any:
    """Ask the model at *url* by LiteLLM."""
    return litellm.completion(
        model="openai/gpt-4o", messages=[{"role": "user", "content": "hi"}], api_base=f"{url}/v1",
        api_key="k", max_retries=0, metadata=metadata,
    )  # fmt: skip


def in_a_bare_thread(work: Callable[[], object]) -> None:
    """Do *work* in a thread that has nothing of this one's context."""
    worker = threading.Thread(target=contextvars.Context().run, args=(work,))
    worker.start()
    worker.join()


@pytest.mark.parametrize(
    "name", ["callbacks.question_of", "callbacks.answer_of", "models.usage_of", "runs.Runs.begin"]
)
def test_langchain_goes_on_without_a_handler_of_ours(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What goes wrong in a callback, which LangChain would log or raise, reaches nobody, and is counted."""
    monkeypatch.setattr(f"trailhouse.capture.langchain.{name}", broken)
    check_same_outcome(
        lambda: agent(calls(("search", "c-1")), says("done")).invoke(asks(), thread()),
        lambda: langchain.install(audit),
        lambda state: [message.content for message in state["messages"]],
    )
    assert audit.stats().unlogged_total > 0


def test_litellm_goes_on_without_a_handler_of_ours(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong before a call and after it keeps no answer from whoever asked, and is counted."""
    monkeypatch.setattr("trailhouse.capture.litellm.callbacks.session_of", broken)
    with ModelServer(*[chat("hello", usage=USAGE)] * 2).running() as url:
        check_same_outcome(
            lambda: ask(url),
            lambda: litellm_adapter.install(audit),
            lambda answer: answer.choices[0].message.content,
        )
    assert audit.stats().unlogged_total > 0


@pytest.mark.parametrize(
    ("name", "install", "missing"),
    [
        ("langchain", langchain.install, "langchain_core.tracers.context.register_configure_hook"),
        ("claude_agent", claude_agent.install, "claude_agent_sdk._internal.client.InternalClient.process_query"),
        ("litellm", litellm_adapter.install, "litellm.integrations.custom_logger.CustomLogger"),
        ("otel", otel.install, "opentelemetry.sdk.trace.TracerProvider.add_span_processor"),
    ],
)  # fmt: skip
def test_a_version_that_has_not_what_we_stand_on_is_refused(
    audit: InMemoryAuditLogger,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    install: Callable[[InMemoryAuditLogger], object],
    missing: str,
) -> None:
    """It is named with the version that was tried, and nothing is installed by half."""
    before = [*litellm.callbacks]
    monkeypatch.delattr(missing)

    with pytest.raises(ConfigError, match=r" has not what .* it was tried with \d"):
        install(audit)
    assert not is_installed(name)
    assert litellm.callbacks == before


def test_an_openai_agent_in_a_bare_thread_is_seen(audit: InMemoryAuditLogger) -> None:
    """It has a run of its own in a session of its own, and not that of the thread which started it."""
    undo = openai_agents.install(audit)
    try:
        with audit.run("s-1"):
            in_a_bare_thread(
                lambda: asyncio.run(openai.run(openai.agent(openai.answer("3")), "go"))
            )
    finally:
        undo()

    outer, inner = sorted(check_runs(audit.events), key=lambda run: run.start.session_id != "s-1")
    assert outer.types == ["run_started", "run_completed"]
    assert inner.end.type == "run_completed"
    assert inner.start.session_id not in ("", "s-1")
    assert inner.start.parent_run_id is None


def test_a_call_of_litellm_in_a_bare_thread_is_seen(audit: InMemoryAuditLogger) -> None:
    """It is none of the run's that started the thread: it stands in the session that it names."""
    undo = litellm_adapter.install(audit)
    try:
        with ModelServer(chat("hello", usage=USAGE)).running() as url, audit.run("s-1"):
            in_a_bare_thread(lambda: ask(url, {"session_id": "s-2"}))
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(audit.events) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)  # LiteLLM tells ends from threads of its own
    finally:
        undo()

    (used,) = (each for each in audit.events if each.type == "token_usage_updated")
    assert (used.session_id, used.run_id) == ("s-2", None)
    assert [each.type for each in audit.events if each.session_id == "s-1"] == [
        "run_started",
        "run_completed",
    ]
