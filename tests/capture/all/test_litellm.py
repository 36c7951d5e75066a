"""LiteLLM, the real one, against a provider on this machine: what is recorded of its model calls."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import litellm
import pytest
from litellm import Router

from capture_rules import Recorded, check_runs, check_same_outcome
from model_server import ModelServer, chat, chat_stream
from trailhouse.capture.litellm import install
from trailhouse.producer.recording import model_call
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import SpoolFullError
from waiting import DEADLINE_SECONDS

SAID = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
USED = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "cache_read_tokens": 4,
    "reasoning_tokens": 2,
}
ASKED: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture(autouse=True)
def installed(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record LiteLLM's calls, and stop recording them afterwards."""
    undo = install(audit)
    yield
    undo()


def priced(url: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a call to the provider at *url*, whose prices LiteLLM knows."""
    return {
        "model": "openai/gpt-4o",
        "messages": ASKED,
        "api_base": f"{url}/v1",
        "api_key": "k",
        "max_retries": 0,
    } | more


def wait_until(is_so: Callable[[], Any]) -> None:
    """Wait until *is_so*: LiteLLM tells ends from threads of its own."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.005)


async def awaited(is_so: Callable[[], Any]) -> None:
    """Do as `wait_until`, and let LiteLLM's tasks go on meanwhile."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not become so"
        await asyncio.sleep(0.005)


def ended(audit: InMemoryAuditLogger, count: int = 1) -> Callable[[], bool]:
    return lambda: [str(e.type) for e in audit.events].count("run_completed") == count


def only_run(audit: InMemoryAuditLogger) -> Recorded:
    (run,) = check_runs(audit.events)
    return run


def test_a_call_belongs_to_the_run_that_it_is_made_in(audit: InMemoryAuditLogger) -> None:
    """Tokens and cost of a call are in its run's totals, though LiteLLM tells of them after the run's end."""
    with ModelServer(chat("hello", usage=SAID)).running() as url, audit.run("s-1"):
        answer = litellm.completion(**priced(url))
    wait_until(ended(audit))

    run = only_run(audit)
    used = next(event for event in run.events if event.type == "token_usage_updated")
    assert {name: used.data[name] for name in USED} == USED
    assert used.data["model_call_id"] == "chatcmpl-1"
    assert used.provider == "openai"
    assert run.end.data["token_usage"] == USED
    assert answer.choices[0].message.content == "hello"
    cost = 6 * Decimal("0.0000025") + 4 * Decimal("0.00000125") + 5 * Decimal("0.00001")
    assert float(str(run.end.data["cost_usd"])) == pytest.approx(float(cost))


async def test_an_asynchronous_call_is_recorded_once(audit: InMemoryAuditLogger) -> None:
    """`acompletion` gives the same as `completion`, and each of several side by side stays in its run."""

    async def ask(url: str, session: str) -> None:
        async with audit.run(session):
            await litellm.acompletion(**priced(url))

    answers = [chat("hello", id=f"chatcmpl-{n}", usage=SAID) for n in range(5)]
    with ModelServer(*answers).running() as url:
        await asyncio.gather(*(ask(url, f"s-{n}") for n in range(5)))
    await awaited(ended(audit, 5))

    runs = check_runs(audit.events)
    assert len(runs) == 5
    assert [run.end.data["token_usage"] for run in runs] == [USED] * 5


async def test_streams_have_the_usage_that_was_asked_for(audit: InMemoryAuditLogger) -> None:
    """A stream's usage is recorded once, at its end."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    answers = [chat_stream("one two", id=f"chatcmpl-{n}", usage=usage) for n in range(2)]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with ModelServer(*answers).running() as url:
        with audit.run("s-1"):
            assert list(litellm.completion(**priced(url, **options)))
        with audit.run("s-2"):
            assert [chunk async for chunk in await litellm.acompletion(**priced(url, **options))]
    await awaited(ended(audit, 2))

    for run in check_runs(audit.events):
        assert run.end.data["token_usage"] == {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
        }


def test_a_stream_that_is_the_last_of_its_loop_is_recorded(audit: InMemoryAuditLogger) -> None:
    """`asyncio.run` closes the loop as soon as the stream is read; its usage is in its run's totals."""

    async def application(url: str) -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        async with audit.run("s-1"):
            assert [part async for part in await litellm.acompletion(**priced(url, **options))]

    with ModelServer(chat_stream("one two", usage=SAID)).running() as url:
        asyncio.run(application(url))
    audit.recorder.close()

    assert only_run(audit).end.data["token_usage"] == USED


async def test_usage_that_litellm_makes_up_is_missing(audit: InMemoryAuditLogger) -> None:
    """A provider that was not asked for a stream's usage gives none: LiteLLM's own count is no usage."""
    with ModelServer(chat_stream("one two"), chat_stream("one two")).running() as url:
        with audit.run("s-1"):
            assert list(litellm.completion(**priced(url, stream=True)))
        with audit.run("s-2"):
            assert [chunk async for chunk in await litellm.acompletion(**priced(url, stream=True))]
    await awaited(ended(audit, 2))

    for run in check_runs(audit.events):
        assert run.end.data["token_usage"] == {"usage_missing": True}
        assert "cost_usd" not in run.end.data


async def test_a_call_that_fails_is_told(audit: InMemoryAuditLogger) -> None:
    """A refused call is a failed model call in a run that may go on."""
    with ModelServer(500, 500).running() as url:
        with audit.run("s-1"), pytest.raises(litellm.InternalServerError):
            litellm.completion(**priced(url))
        async with audit.run("s-2"):
            with pytest.raises(litellm.InternalServerError):
                await litellm.acompletion(**priced(url))
    await awaited(ended(audit, 2))

    for run in check_runs(audit.events):
        assert run.types == ["run_started", "model_call_failed", "run_completed"]
        assert run.events[1].data["error_code"] == "InternalServerError"


async def test_retries_are_told_each_though_litellm_tells_one_failure(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three tries that fail LiteLLM tells one: the others have failed for want of an end."""
    monkeypatch.setattr(model_call, "END_AWAITED_SECONDS", 0.2)
    with ModelServer(500, 500, 500).running() as url:
        async with audit.run("s-1"):
            with pytest.raises(litellm.InternalServerError):
                await litellm.acompletion(**priced(url, num_retries=2))
    await awaited(ended(audit))

    run = only_run(audit)
    failed = [e.data["error_code"] for e in run.events if e.type == "model_call_failed"]
    assert sorted(failed) == ["InternalServerError", "no_end", "no_end"]


async def test_a_router_that_falls_back_has_a_call_for_each_model(
    audit: InMemoryAuditLogger,
) -> None:
    """The model that failed and the one that answered are two calls of one run."""
    with ModelServer(500, chat("hello", usage=SAID)).running() as url:
        models = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": f"{url}/v1",
                    "api_key": "k",
                    "max_retries": 0,
                },
            }
            for name, model in (("a", "gpt-4o"), ("b", "gpt-4o-mini"))
        ]
        router = Router(model_list=models, fallbacks=[{"a": ["b"]}], num_retries=0)
        async with audit.run("s-1"):
            await router.acompletion(model="a", messages=ASKED)
    await awaited(ended(audit))

    run = only_run(audit)
    assert run.types == ["run_started", "model_call_failed", "token_usage_updated", "run_completed"]
    assert run.end.data["token_usage"] == USED


async def test_calls_without_an_end_are_told(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream that is broken off and a call that is cancelled LiteLLM says nothing: they have failed."""
    monkeypatch.setattr(model_call, "END_AWAITED_SECONDS", 0.2)
    is_cancelled = threading.Event()

    def late() -> Any:
        is_cancelled.wait(DEADLINE_SECONDS)
        return chat("late", usage=SAID)

    with ModelServer(chat_stream("one two three"), late).running() as url:
        async with audit.run("s-1"):
            async for _ in await litellm.acompletion(**priced(url, stream=True)):
                break
        begun = [e.type for e in audit.events].count

        async def cancelled() -> None:
            async with audit.run("s-2"):
                task = asyncio.create_task(litellm.acompletion(**priced(url)))
                run = audit.recorder.current
                assert run is not None
                await awaited(lambda: run.model_calls)
                task.cancel()
                await task

        with pytest.raises(asyncio.CancelledError):
            await cancelled()
        is_cancelled.set()
        assert begun("run_started") == 1
        await awaited(lambda: "run_cancelled" in [str(e.type) for e in audit.events])

    first, second = check_runs(audit.events)
    for run in (first, second):
        assert run.types[1] == "model_call_failed"
        assert run.events[1].data["error_code"] == "no_end"
    assert second.end.type == "run_cancelled"


def test_outside_of_a_run_a_call_has_a_session_alone(audit: InMemoryAuditLogger) -> None:
    """A call that no agent makes is recorded in the session of its metadata, and is no run."""
    answers = [chat("hello", id=f"chatcmpl-{n}", usage=SAID) for n in range(2)]
    with ModelServer(*answers).running() as url:
        litellm.completion(**priced(url, metadata={"session_id": "s-9"}))
        wait_until(lambda: len(audit.events) == 1)
        litellm.completion(**priced(url, litellm_session_id="s-8"))
        wait_until(lambda: len(audit.events) == 2)

    assert [event.session_id for event in audit.events] == ["s-9", "s-8"]
    assert [str(event.type) for event in audit.events] == ["token_usage_updated"] * 2
    assert [event.run_id for event in audit.events] == [None, None]


def test_a_call_that_another_has_recorded_is_not_recorded_again(audit: InMemoryAuditLogger) -> None:
    """The provider's id of the response tells that another adapter has seen it."""
    with ModelServer(chat("hello", id="chatcmpl-7", usage=SAID)).running() as url, audit.run("s-1"):
        audit.recorder.claims("model_call", "chatcmpl-7", "another")
        litellm.completion(**priced(url))
    wait_until(ended(audit))

    assert only_run(audit).types == ["run_started", "run_completed"]


def test_a_framework_that_calls_its_models_by_litellm_tells_of_them_itself(
    audit: InMemoryAuditLogger,
) -> None:
    """While an adapter waits for its framework's model call, LiteLLM's is the same."""
    with ModelServer(chat("hello", usage=SAID)).running() as url, audit.run("s-1") as run:
        run.model_calls_open += 1
        litellm.completion(**priced(url))
        run.model_calls_open -= 1
        assert not run.model_calls
    wait_until(ended(audit))

    assert only_run(audit).types == ["run_started", "run_completed"]


def test_a_provider_that_gives_all_responses_one_id_has_them_all_recorded(
    audit: InMemoryAuditLogger,
) -> None:
    """LiteLLM's calls are known apart by its own ids."""
    with ModelServer(*[chat("hello", usage=SAID)] * 2).running() as url, audit.run("s-1"):
        litellm.completion(**priced(url))
        litellm.completion(**priced(url))
    wait_until(ended(audit))

    assert only_run(audit).types.count("token_usage_updated") == 2


def test_installed_twice_records_once_and_undone_not_at_all(audit: InMemoryAuditLogger) -> None:
    """A second installation changes nothing, and undone nothing of ours is left in LiteLLM."""
    undo = install(audit)
    with ModelServer(*[chat("hello", usage=SAID)] * 2).running() as url:
        with audit.run("s-1"):
            litellm.completion(**priced(url))
        wait_until(ended(audit))
        undo()
        with audit.run("s-2"):
            litellm.completion(**priced(url))

    first, second = check_runs(audit.events)
    assert first.types.count("token_usage_updated") == 1
    assert second.types == ["run_started", "run_completed"]
    assert not [each for each in litellm.success_callback if "Trailhouse" in type(each).__name__]


def test_a_full_spool_changes_nothing_for_the_application(audit: InMemoryAuditLogger) -> None:
    """What cannot be logged is counted; answers and errors are as without us."""
    audit.fail_with(SpoolFullError("full"))
    with ModelServer(*[chat("hello", usage=SAID)] * 2).running() as url:
        check_same_outcome(
            lambda: litellm.completion(**priced(url)),
            lambda: install(audit),
            lambda answer: answer.choices[0].message.content,
        )
        wait_until(lambda: audit.stats().unlogged_total > 0)
    with ModelServer(500, 500).running() as url:
        check_same_outcome(lambda: litellm.completion(**priced(url)), lambda: install(audit))


@pytest.fixture
def strictly(audit: InMemoryAuditLogger) -> Iterator[None]:
    """Record strictly, in the place of the adapter that does not."""
    install(audit)()
    undo = install(audit, strict=True)
    yield
    undo()


@pytest.mark.usefixtures("strictly")
async def test_strict_refuses_the_next_call_after_a_loss(audit: InMemoryAuditLogger) -> None:
    """What could not be recorded is raised by the next asynchronous call, once, and that is not sent."""
    server = ModelServer(*[chat("hello", id=f"chatcmpl-{n}", usage=SAID) for n in range(2)])
    with server.running() as url:
        async with audit.run("s-1"):
            audit.fail_with(SpoolFullError("full"))
            await litellm.acompletion(**priced(url))
            await awaited(lambda: audit.stats().unlogged_total > 0)
            with pytest.raises(SpoolFullError):
                await litellm.acompletion(**priced(url))
            assert len(server.requests) == 1
            audit.fail_with(None)
            await litellm.acompletion(**priced(url))
        await awaited(ended(audit))

    assert len(server.requests) == 2
    assert [str(event.type) for event in audit.events].count("token_usage_updated") == 1


@pytest.mark.usefixtures("strictly")
async def test_strict_changes_nothing_where_all_is_recorded(audit: InMemoryAuditLogger) -> None:
    """Answers, errors and what is recorded are as without, also of synchronous calls."""
    with ModelServer(chat("a", usage=SAID), 500, chat("b", usage=SAID)).running() as url:
        async with audit.run("s-1"):
            answer = await litellm.acompletion(**priced(url))
            with pytest.raises(litellm.InternalServerError):
                await litellm.acompletion(**priced(url))
        await awaited(ended(audit))
        litellm.completion(**priced(url))

    assert answer.choices[0].message.content == "a"
    types = check_runs(audit.events)[0].types
    assert (types.count("token_usage_updated"), types.count("model_call_failed")) == (1, 1)
