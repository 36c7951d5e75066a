"""The hooks of a processor that only later versions of the SDK call."""

from __future__ import annotations

from typing import Any

_HOOKS = ("on_", "_on_")


class LaterHooks:
    """Does nothing in every hook that a processor of ours does not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_HOOKS):
            return _ignore
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _ignore(*_: object, **__: object) -> None:
    """Nothing."""
