"""The OpenAI Agents SDK's applications see what they see without us; installing, and undoing it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agents import (
    Agent,
    RunHooks,
    function_tool,
)
from agents.lifecycle import RunHooksBase
from agents.run import get_default_agent_runner, set_default_agent_runner
from agents.testing import ModelStep

from capture_rules import Outcome, check_runs, check_same_outcome, outcome_of
from openai_agents_scene import (
    Stuck,
    add,
    agent,
    answer,
    break_down,
    broken,
    calls,
    drop,
    of_type,
    only,
    run,
    shape,
)
from trailhouse.capture.openai_agents import install
from trailhouse.capture.openai_agents.hooks import hooks_class, hooks_for
from trailhouse.capture.openai_agents.watching import Watch
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import ConfigError, SpoolFullError

APPLICATIONS: dict[str, Any] = {
    "answers": lambda: run(agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add]), "go"),
    "streams": lambda: run(
        agent(calls(("add", {"a": 1, "b": 2})), answer("3"), tools=[add]), "go", is_streamed=True
    ),
    "tool raises": lambda: run(
        agent(
            calls(("break_down", {})),
            tools=[function_tool(break_down, failure_error_function=None)],
        ),
        "go",
    ),
    "tool is answered for": lambda: run(
        agent(calls(("break_down", {})), answer("sorry"), tools=[function_tool(break_down)]), "go"
    ),
    "model raises": lambda: run(agent(ModelStep.raise_error(ConnectionError("no"))), "go"),
    "pauses": lambda: run(agent(calls(("drop", {"table": "t"})), tools=[drop]), "go"),
    "wrong hooks": lambda: run(agent(answer("3")), "go", hooks=object()),
    "too many turns": lambda: run(
        agent(*[calls(("add", {"a": 1, "b": 1}))] * 2, tools=[add]), "go", max_turns=1
    ),
}


def comparable(result: Any) -> object:
    """Return what an application sees of a result, without ids and times."""
    items = [(type(item).__name__, getattr(item, "output", None)) for item in result.new_items]
    return result.final_output, items, len(result.interruptions), result.context_wrapper.usage


@pytest.mark.parametrize("fault", [None, SpoolFullError("full")], ids=["works", "spool full"])
@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_application_sees_what_it_sees_without_us(
    audit: InMemoryAuditLogger, name: str, fault: SpoolFullError | None
) -> None:
    """Results and errors are the same with us and without, also when nothing can be recorded, which is counted."""
    if fault is not None:
        audit.fail_with(fault)

    check_same_outcome(APPLICATIONS[name], lambda: install(audit), comparable)

    if fault is not None and name != "wrong hooks":
        assert audit.stats().unlogged_total > 0


def test_strict_does_not_begin_what_it_cannot_record(audit: InMemoryAuditLogger) -> None:
    """A strict adapter raises before the agent begins, rather than let it act without a record."""
    bot = agent(answer("3"))
    undo = install(audit, strict=True)
    audit.fail_with(SpoolFullError("full"))
    try:
        seen = outcome_of(lambda: run(bot, "go"))
    finally:
        undo()

    assert seen.error is SpoolFullError
    assert not bot.model.calls


def test_installed_twice_and_undone(audit: InMemoryAuditLogger) -> None:
    """Installed twice it records once; undone, it records nothing, and the SDK's own runner is back."""
    before = get_default_agent_runner()
    first, second = install(audit), install(audit)
    asyncio.run(run(agent(answer("1")), "go"))
    assert len(check_runs(audit.events)) == 1

    first()
    second()
    asyncio.run(run(agent(answer("2")), "go"))
    assert len(check_runs(audit.events)) == 1
    assert get_default_agent_runner() is before


def test_undone_beneath_another_runner_it_passes_on(audit: InMemoryAuditLogger) -> None:
    """A runner that somebody has put around ours stays, and ours records no more."""
    before = get_default_agent_runner()
    undo = install(audit)

    class Around:
        def __init__(self, inner: Any) -> None:
            self.run = inner.run

    around = Around(get_default_agent_runner())
    set_default_agent_runner(around)
    try:
        undo()
        assert get_default_agent_runner() is around
        assert asyncio.run(run(agent(answer("1")), "go")).final_output == "1"
    finally:
        set_default_agent_runner(before)
    assert audit.events == []


def test_the_outcome_of_a_cancelled_application_is_its_own(audit: InMemoryAuditLogger) -> None:
    """A time limit around a run raises what it raises without us."""

    async def application() -> None:
        await asyncio.wait_for(run(Agent(name="bot", model=Stuck()), "go"), 0.05)

    seen = check_same_outcome(application, lambda: install(audit))
    assert seen == Outcome(error=TimeoutError, text="")


def test_a_version_without_the_runner_is_refused(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that has no runner to stand in front of is refused, with the version that this was tried with."""
    monkeypatch.delattr("agents.run.set_default_agent_runner")

    with pytest.raises(ConfigError, match=r"openai-agents .* it was tried with 0\.24\.0"):
        install(audit)


def test_a_version_without_private_functions_is_recorded_by_hooks(
    audit: InMemoryAuditLogger,
) -> None:
    """Where the function that shows how a tool ended is not there, hooks alone tell runs and tools."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr("agents.run_internal.tool_execution._invoke_function_tool_with_metadata")
        undo = install(audit)
    bot = agent(calls(("add", {"a": 1, "b": 2}), ("broken", {})), answer("3"), tools=[add, broken])
    try:
        asyncio.run(run(bot, "go"))
    finally:
        undo()

    assert len(of_type(only(audit), "tool_call_completed")) == 1
    assert len(of_type(only(audit), "tool_call_failed")) == 1


def test_a_handler_that_raises_costs_its_own_event_alone(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be read costs its usage, which is counted, and neither the run nor its result."""

    def unreadable(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("trailhouse.capture.openai_agents.model_calls.usage_of", unreadable)
    undo = install(audit)
    try:
        assert asyncio.run(run(agent(answer("1")), "go")).final_output == "1"
    finally:
        undo()

    assert shape(only(audit)) == ["run_started", "run_completed"]
    assert audit.stats().unlogged_total == 1


def test_a_hook_of_a_newer_version_reaches_the_application(
    audit: InMemoryAuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that we know nothing of is passed on to the application's own."""
    monkeypatch.setattr(
        RunHooksBase, "on_new", lambda _self, what: f"none of {what}", raising=False
    )
    hooks_class.cache_clear()

    class Own(RunHooks[Any]):
        def on_new(self, what: str) -> str:
            return f"own {what}"

    run = audit.recorder.open_run("s-1", source="test")
    hooks = hooks_for(Watch(audit.recorder, run, None), audit.recorder, Own(), strict=False)
    assert hooks.on_new("call") == "own call"
    run.end()
    hooks_class.cache_clear()
