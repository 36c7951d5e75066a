"""The adapter of the Agent Development Kit beside its application: which sees what it sees without, whatever fails."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from google.adk.apps import App
from google.adk.plugins import BasePlugin
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools import AgentTool
from google.genai import types
from tests.capture.adk.scripted import Talk, an_agent, calls, fails, runs_of, says, texts, weather

from capture_rules import check_same_outcome
from trailhouse.capture import google_adk
from trailhouse.capture.google_adk.invocation import Invocation
from trailhouse.capture.installation import is_installed
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import ConfigError, SpoolFullError


async def succeeds() -> list[str]:
    agent = an_agent(calls(("weather", {"city": "Rome"})), says("21 °C"), tools=[weather])
    return texts(await Talk(agent).say("how warm?"))


async def fails_in_a_tool() -> list[str]:
    return texts(await Talk(an_agent(calls(("fails", {})), tools=[fails])).say("try"))


async def fails_in_a_model() -> list[str]:
    return texts(await Talk(an_agent(ValueError("no model today"))).say("hello"))


async def times_out() -> list[str]:
    return texts(await asyncio.wait_for(Talk(an_agent(asyncio.Event().wait)).say("hello"), 0.05))


async def has_no_session() -> list[str]:
    talk = Talk(an_agent(says("hi")))
    message = types.Content(role="user", parts=[types.Part(text="hello")])
    return texts(
        [
            e
            async for e in talk.runner.run_async(
                user_id="u", session_id="none", new_message=message
            )
        ]
    )


APPLICATIONS = [succeeds, fails_in_a_tool, fails_in_a_model, times_out, has_no_session]


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.__name__)
@pytest.mark.parametrize("is_full", [False, True], ids=["spool", "full spool"])
def test_the_application_sees_what_it_sees_without(
    audit: InMemoryAuditLogger, application: Callable[[], Any], is_full: bool
) -> None:
    """Results and errors are the same with us, also where nothing can be logged, and each loss is counted."""
    if is_full:
        audit.fail_with(SpoolFullError("full"))
    check_same_outcome(application, lambda: google_adk.install(audit))

    if is_full:
        assert audit.events == []
        assert audit.stats().unlogged_total > 0
    else:
        assert len(runs_of(audit)) == 1


def test_a_handler_of_ours_that_raises(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong in a hook, which would abort the agent, reaches nobody, and is counted."""

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken")

    for name in ("begin_agent", "end_agent", "run_of", "saw", "described", "end"):
        monkeypatch.setattr(Invocation, name, broken)
    check_same_outcome(succeeds, lambda: google_adk.install(audit))

    assert audit.stats().unlogged_total > 0


def test_strict_raises(audit: InMemoryAuditLogger) -> None:
    """Whoever must not act without a record gets the error."""
    audit.fail_with(SpoolFullError("full"))
    undo = google_adk.install(audit, strict=True)
    with pytest.raises(Exception, match="full"):
        asyncio.run(succeeds())
    undo()


def test_installed_twice_and_taken_out(audit: InMemoryAuditLogger) -> None:
    """Twice is once; taken out, nothing more is recorded, and the kit is as it was, runners that have run included."""
    before = Runner.run_async, Runner.run_live
    talk = Talk(an_agent(says("one"), says("two")))
    undo, again = google_adk.install(audit), google_adk.install(audit)
    asyncio.run(talk.say("1"))
    assert len(runs_of(audit)) == 1

    undo()
    again()
    asyncio.run(talk.say("2"))
    assert len(runs_of(audit)) == 1
    assert (Runner.run_async, Runner.run_live) == before
    assert talk.runner.plugin_manager.plugins == []


def test_a_wrapper_that_came_later_stays(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out beneath another's wrapper, that one goes on being called, and nothing more is recorded."""
    seen: list[str] = []
    monkeypatch.setattr(Runner, "run_async", Runner.run_async)  # gives the kit's own back
    undo = google_adk.install(audit)
    ours = Runner.run_async

    async def another(runner: Any, **given: Any) -> AsyncGenerator[Any, None]:
        seen.append("called")
        async for event in ours(runner, **given):
            yield event

    monkeypatch.setattr(Runner, "run_async", another)
    undo()
    assert Runner.run_async is another
    assert texts(asyncio.run(Talk(an_agent(says("one"))).say("1"))) == ["one"]
    assert (seen, audit.events) == (["called"], [])

    again = google_adk.install(audit)
    asyncio.run(Talk(an_agent(says("two"))).say("2"))
    again()
    assert len(runs_of(audit)) == 1


def test_the_latest_logger_records(audit: InMemoryAuditLogger) -> None:
    """Installed for another logger, that one records, also the runs of runners and of agents as tools made before."""
    inner = an_agent(says("in"), says("in"), name="inner")
    call = calls(("inner", {"request": "q"}))
    talk = Talk(an_agent(call, says("1"), call, says("2"), name="outer", tools=[AgentTool(inner)]))
    google_adk.install(audit)
    asyncio.run(talk.say("1"))
    with InMemoryAuditLogger() as other:
        undo = google_adk.install(other)
        asyncio.run(talk.say("2"))
        assert len(runs_of(other)) == 2
        undo()
    assert len(runs_of(audit)) == 2


def test_an_application_that_answers_for_its_agent(audit: InMemoryAuditLogger) -> None:
    """A plugin that answers in a model's or a tool's place keeps ours from nothing: ours is asked first."""

    class Answers(BasePlugin):
        async def before_tool_callback(self, **_: Any) -> dict[str, str]:
            return {"from": "the cache"}

        async def after_model_callback(self, *, llm_response: Any, **_: Any) -> Any:
            return llm_response

    agent = an_agent(calls(("weather", {"city": "Rome"})), says("cached"), tools=[weather])
    undo = google_adk.install(audit)
    asyncio.run(Talk(agent, plugins=[Answers(name="answers")]).say("go"))
    undo()

    [run] = runs_of(audit)
    completed = next(event for event in run.events if event.type == "tool_call_completed")
    assert completed.data["result"] == {"from": "the cache"}
    assert run.types.count("token_usage_updated") == 2


def test_the_synchronous_runner_in_threads(audit: InMemoryAuditLogger) -> None:
    """`Runner.run` works in a thread of its own, and is recorded; many at once do not mix."""
    undo = google_adk.install(audit)
    answers: dict[int, list[str]] = {}

    def talk(number: int) -> None:
        sessions = InMemorySessionService()
        asyncio.run(sessions.create_session(app_name="app", user_id="u", session_id=f"s-{number}"))
        agent = an_agent(
            calls(("weather", {"city": str(number)})), says(str(number)), tools=[weather]
        )
        runner = Runner(app=App(name="app", root_agent=agent), session_service=sessions)
        message = types.Content(role="user", parts=[types.Part(text="go")])
        answers[number] = texts(
            list(runner.run(user_id="u", session_id=f"s-{number}", new_message=message))
        )

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    undo()

    assert answers == {number: [str(number)] for number in range(4)}
    assert {run.start.session_id for run in runs_of(audit)} == {
        f"s-{number}" for number in range(4)
    }


def test_a_session_that_is_not_there(audit: InMemoryAuditLogger) -> None:
    """A run that the kit refuses to begin is one that failed, of the runner's own agent."""
    undo = google_adk.install(audit)
    with pytest.raises(ValueError, match="Session not found"):
        asyncio.run(has_no_session())
    undo()

    [run] = runs_of(audit)
    assert (run.start.agent_id, run.end.type) == ("helper", "run_failed")


def test_a_version_that_has_not_what_we_stand_on_is_refused(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with the version that was tried, and nothing is installed by half."""
    before = Runner.run_async
    monkeypatch.delattr(Runner, "run_live")

    with pytest.raises(ConfigError, match=r"google-adk .* has not what .* it was tried with \d"):
        google_adk.install(audit)
    assert not is_installed("google_adk")
    assert Runner.run_async is before


def test_a_bare_thread_is_seen(audit: InMemoryAuditLogger) -> None:
    """An agent in a thread that knows no run has one of its own, in the kit's session and beneath no other."""
    undo = google_adk.install(audit)
    talk = Talk(an_agent(says("one")))
    with audit.run("s-1"):
        worker = threading.Thread(
            target=contextvars.Context().run, args=(lambda: asyncio.run(talk.say("1")),)
        )
        worker.start()
        worker.join()
    undo()

    outer, inner = sorted(runs_of(audit), key=lambda run: run.start.session_id != "s-1")
    assert outer.types == ["run_started", "run_completed"]
    assert inner.end.type == "run_completed"
    assert inner.start.session_id not in ("", "s-1")
    assert inner.start.parent_run_id is None
