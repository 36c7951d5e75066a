"""Claude's adapter beside its application: installed, strict, failing, and seen by nobody."""

import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import claude_agent_sdk
import pytest
from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    ResultMessage,
)
from claude_agent_sdk._internal.client import InternalClient
from tests.capture.all.claude.scene import only_run, read

from capture_rules import check_runs
from trailhouse.capture.claude_agent import ClaudeAudit, install
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas.errors import SpoolFullError


async def test_the_users_hooks_stay(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Our hooks are beside the user's, and the user's options stay as they are."""
    seen: list[str] = []

    async def hook(told: Any, *_: Any) -> dict[str, Any]:
        seen.append(told["hook_event_name"])
        return {}

    options.hooks = {"PreToolUse": [HookMatcher(hooks=[hook])]}
    await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))
    assert seen == ["PreToolUse"]
    assert list(options.hooks) == ["PreToolUse"]
    assert len(options.hooks["PreToolUse"]) == 1
    assert only_run(audit).types.count("tool_call_started") == 1


async def test_options_alone_record_what_hooks_see(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Options with our hooks, given to the SDK's own query, make a run that says its usage is missing."""
    await read(
        claude_agent_sdk.query(prompt="call a tool", options=ClaudeAudit(audit).options(options))
    )
    run = only_run(audit)
    assert run.types.count("tool_call_completed") == 1
    assert run.end.data["token_usage"] == {"usage_missing": True}


async def test_installed_every_query_and_client_is_recorded_once(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """Installed twice, and used through `ClaudeAudit` as well, each turn is one run; undone, it is none."""
    claude = ClaudeAudit(audit)
    undo, _ = install(audit), install(audit)
    try:
        await read(claude_agent_sdk.query(prompt="call a tool", options=options))
        await read(claude_agent_sdk.query(prompt="call a tool", options=claude.options(options)))
        await read(claude.query(prompt="call a tool", options=options))
        for client in (ClaudeSDKClient(options), claude.client(options)):
            async with client:
                await client.query("call a tool")
                await read(client.receive_response())
    finally:
        undo()
    runs = check_runs(audit.events)
    assert [run.types.count("token_usage_updated") for run in runs] == [1] * 5
    assert [run.types.count("tool_call_started") for run in runs] == [1] * 5
    await read(claude_agent_sdk.query(prompt="hello", options=options))
    assert len(check_runs(audit.events)) == 5


class Wrappers:
    """Somebody else's wrappers around what the adapter takes the place of; those that are called are noted."""

    NAMES = ("process_query", "connect", "query")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self._classes = dict.fromkeys(self.NAMES, ClaudeSDKClient) | {
            "process_query": InternalClient
        }
        for name, cls in self._classes.items():
            monkeypatch.setattr(cls, name, vars(cls)[name])  # gives the SDK's own back

    @property
    def current(self) -> list[Any]:
        return [vars(cls)[name] for name, cls in self._classes.items()]

    def put_around(self) -> list[Any]:
        """Wrap what is there, and return the wrappers."""
        for name, cls in self._classes.items():
            setattr(cls, name, self._around(name, vars(cls)[name]))
        return self.current

    def _around(self, name: str, inner: Any) -> Any:
        @functools.wraps(inner)
        def wrapper(*args: Any, **given: Any) -> Any:
            self.seen.append(name)
            return inner(*args, **given)

        return wrapper


async def test_a_wrapper_that_came_later_stays(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken out beneath others' wrappers, those go on being called; put in again, over ours, each turn is one run."""
    wrappers = Wrappers(monkeypatch)

    async def work(client: ClaudeSDKClient) -> list[str]:
        wrappers.seen.clear()
        await read(claude_agent_sdk.query(prompt="call a tool", options=options))
        async with client:
            await client.query("call a tool")
            await read(client.receive_response())
        return wrappers.seen

    undo = install(audit)
    theirs = wrappers.put_around()
    undo()
    assert wrappers.current == theirs
    assert await work(ClaudeSDKClient(options)) == list(wrappers.NAMES)
    assert audit.events == []

    undo = install(audit)
    assert await work(ClaudeSDKClient(options)) == list(wrappers.NAMES)
    wrappers.put_around()
    twice = [name for name in wrappers.NAMES for _ in range(2)]
    assert await work(ClaudeAudit(audit).client(options)) == twice
    undo()
    runs = check_runs(audit.events)
    assert [run.types.count("token_usage_updated") for run in runs] == [1] * 4
    assert [run.types.count("tool_call_started") for run in runs] == [1] * 4


async def test_a_full_spool_changes_nothing(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The agent's answer is the same where nothing can be recorded, and each loss is counted."""
    audit.fail_with(SpoolFullError("full"))
    messages = await read(ClaudeAudit(audit).query(prompt="call a tool", options=options))
    assert messages[-1].result == "done"
    assert audit.stats().unlogged_total > 0


async def test_strict_no_tool_runs_unrecorded(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions, tmp_path: Path
) -> None:
    """A fail-closed audit that cannot record lets no tool run."""
    audit.fail_with(SpoolFullError("full"))
    claude = ClaudeAudit(audit, strict=True)
    with pytest.raises(SpoolFullError):
        await read(claude.query(prompt="call a tool", options=options))
    await read(claude_agent_sdk.query(prompt="call a tool", options=claude.options(options)))
    assert not (tmp_path / "made").exists()


async def test_the_application_sees_what_it_sees_without_us(
    audit: InMemoryAuditLogger, options: ClaudeAgentOptions
) -> None:
    """The kinds of messages and the result are the same with us and without."""

    async def seen(stream: AsyncIterator[Any]) -> list[object]:
        messages = await read(stream)
        result = messages[-1]
        assert isinstance(result, ResultMessage)
        return [*(type(each) for each in messages), result.result, result.usage, result.num_turns]

    without = await seen(claude_agent_sdk.query(prompt="call a tool", options=options))
    assert without == await seen(ClaudeAudit(audit).query(prompt="call a tool", options=options))


@pytest.mark.parametrize("name", ["messages._result", "messages._spoken", "tools.Tools.start"])
async def test_the_agent_goes_on_without_a_handler_of_ours(
    audit: InMemoryAuditLogger,
    options: ClaudeAgentOptions,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """What goes wrong in a hook or as a message is read reaches neither the agent nor its reader, and is counted."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(f"trailhouse.capture.claude_agent.{name}", broken)
    undo = install(audit)
    try:
        messages = await read(claude_agent_sdk.query(prompt="call a tool", options=options))
    finally:
        undo()
    assert messages[-1].result == "done"
    assert audit.stats().unlogged_total > 0
