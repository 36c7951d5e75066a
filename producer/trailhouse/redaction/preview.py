"""What redaction would take out of an object: where, and what it takes it for; never the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from trailhouse.redaction.tally import Tally

if TYPE_CHECKING:
    from trailhouse.redaction.tree import TreeRedactor


class Finding(NamedTuple):
    """Something that would be taken out."""

    path: str
    """Where it stands, such as ``messages[0].content``; a key that is secret itself stands there as its marker."""
    category: str


def findings(tree: TreeRedactor, data: dict[str, Any]) -> list[Finding]:
    """Return what *tree* would take out of *data*, in the order of the object."""
    import secrets  # lazily: import time counts in every agent

    fence = secrets.token_hex(8)  # nobody can write what stands for a secret here
    marker = re.compile(rf"{fence}([a-z0-9_]+){fence}")
    marked = tree.marking(lambda category, _: f"{fence}{category}{fence}".encode())
    return list(_found(marked.redacted(data, Tally()), "", marker))


def _found(value: Any, path: str, marker: re.Pattern[str]) -> Iterator[Finding]:
    if isinstance(value, dict):
        for key, item in value.items():
            shown = marker.sub(r"[REDACTED:\1]", key)
            inner = f"{path}.{shown}" if path else shown
            yield from (Finding(inner, category) for category in marker.findall(key))
            yield from _found(item, inner, marker)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _found(item, f"{path}[{at}]", marker)
    elif isinstance(value, str):
        yield from (Finding(path, category) for category in marker.findall(value))
