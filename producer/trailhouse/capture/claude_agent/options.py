"""The user's options, with our hooks beside theirs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trailhouse.capture.claude_agent.hooks import RECORDS, Hook, Permission

if TYPE_CHECKING:
    from trailhouse.capture.claude_agent.hooks import Finder

BLOCKING = ("UserPromptSubmit", "PreToolUse")
"""What a fail-closed audit stops when it cannot be recorded; the others tell what has happened."""


def with_hooks(options: Any, finder: Finder, *, is_strict: bool) -> Any:
    """Return a copy of the user's *options* with our hooks beside theirs, and ours alone where they had some.

    In strict mode the CLI blocks what a hook of ours could not record, where the SDK can say so; with a CLI that
    cannot, the SDK raises `CLIConnectionError`.
    """
    from claude_agent_sdk import HookMatcher

    can_block = "on_failure" in {field.name for field in dataclasses.fields(HookMatcher)}
    hooks = {name: _others(matchers) for name, matchers in (options.hooks or {}).items()}
    for name, record in RECORDS.items():
        blocks = is_strict and can_block and name in BLOCKING
        ours = HookMatcher(
            hooks=[Hook(name, finder, record, is_strict=is_strict)],
            **({"on_failure": "block"} if blocks else {}),
        )
        hooks[name] = [*hooks.get(name, []), ours]
    asks = (
        options.can_use_tool.ask
        if isinstance(options.can_use_tool, Permission)
        else options.can_use_tool
    )
    permission = None if asks is None else Permission(finder, asks)
    return dataclasses.replace(options, hooks=hooks, can_use_tool=permission)


def finder_in(options: Any) -> Finder | None:
    """Return what knows the conversations of *options* that have our hooks already."""
    for matcher in (getattr(options, "hooks", None) or {}).get("Stop", []):
        for hook in matcher.hooks:
            if isinstance(hook, Hook):
                return hook.finder
    return None


def _others(matchers: list[Any]) -> list[Any]:
    return [each for each in matchers if not any(isinstance(hook, Hook) for hook in each.hooks)]
