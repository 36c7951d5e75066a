"""The tree of each logger, which all its processors share; a forked child begins with none."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from trailhouse.capture.otel.tree import SpanTree

if TYPE_CHECKING:
    from trailhouse.producer import AuditLogger

# By the id of the recorder, which holds its tree: an entry goes when that one does.
_trees: weakref.WeakValueDictionary[int, SpanTree] = weakref.WeakValueDictionary()


def tree_of(audit: AuditLogger) -> SpanTree:
    """Return the tree of *audit*, the same for each processor of it."""
    recorder = audit.recorder
    tree = _trees.get(id(recorder))
    if tree is None:
        tree = _trees[id(recorder)] = SpanTree(recorder)
    return tree


def _forget_all() -> None:
    for tree in list(_trees.values()):
        tree.forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
