"""LiteLLM's calls as the logger is closed: what was answered is recorded, and what was not has no end."""

import threading
from typing import Any

import litellm
import pytest

from capture_rules import check_runs
from model_server import ModelServer, chat, chat_stream
from trailhouse.capture.litellm import callbacks, install
from trailhouse.capture.litellm.usage import usage_of
from trailhouse.producer.recording.usage import Usage
from trailhouse.producer.testing import InMemoryAuditLogger

SAID = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
LET_CLOSE_SECONDS = 0.3
"""So long a call's usage is read: enough to close a logger that does not wait for it, as it must."""
USED = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def ask(url: str, **more: object) -> Any:
    asked = [{"role": "user", "content": "hi"}]
    where = {"api_base": f"{url}/v1", "api_key": "k", "max_retries": 0}
    return litellm.completion(model="openai/gpt-4o", messages=asked, **where, **more)


def test_closing_the_logger_tells_calls_without_an_end() -> None:
    """A call that is open as the logger is closed has failed for want of an end, in its metadata's session."""
    with InMemoryAuditLogger() as audit:
        undo = install(audit)
        with ModelServer(chat_stream("one two three")).running() as url:
            stream = ask(url, stream=True, metadata={"session_id": "s-9"})
            next(iter(stream))
        undo()

    (failed,) = audit.events
    assert (failed.type, failed.session_id) == ("model_call_failed", "s-9")
    assert failed.data["error_code"] == "no_end"


def test_closing_the_logger_waits_for_what_litellm_has_in_hand() -> None:
    """A program that ends with its last call has that recorded: LiteLLM tells of it in a thread, after the answer."""
    with ModelServer(chat("one", usage=SAID), chat("two", usage=SAID)).running() as url:
        with InMemoryAuditLogger() as audit:
            undo = install(audit)
            ask(url)
            with audit.run("s-1"):
                ask(url)
        undo()

    assert [e.type for e in audit.events].count("token_usage_updated") == 2
    (run,) = check_runs(audit.events)
    assert run.end.data["token_usage"] == USED


def test_closing_the_logger_waits_for_an_end_that_is_being_made_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call whose usage is being read as the logger is closed is recorded by it, and has not lacked an end."""
    is_reading, is_closed = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Usage:
        is_reading.set()
        is_closed.wait(LET_CLOSE_SECONDS)
        return usage_of(*given)

    monkeypatch.setattr(callbacks, "usage_of", slowly)
    with ModelServer(chat("one", usage=SAID)).running() as url:
        with InMemoryAuditLogger() as audit:
            undo = install(audit)
            with audit.run("s-1"):
                ask(url)
            assert is_reading.wait(60)
        is_closed.set()
        undo()

    (run,) = check_runs(audit.events)
    assert run.types == ["run_started", "token_usage_updated", "run_completed"]
