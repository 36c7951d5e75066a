"""Methods of a framework that an adapter takes the place of, and gives back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trailhouse.capture.installation import Undo


def replace_methods(methods: Iterable[tuple[type, str, Any]]) -> Undo:
    """Put *methods*, each with its class and its name, in the place of what is there; return what puts that back.

    What somebody has put in the place of ours since stays: it goes on calling ours, which then only pass on.
    """
    methods = list(methods)
    before = [vars(cls)[name] for cls, name, _ in methods]
    for cls, name, method in methods:
        setattr(cls, name, method)

    def put_back() -> None:
        for (cls, name, method), plain in zip(methods, before, strict=True):
            if vars(cls)[name] is method:
                setattr(cls, name, plain)

    return put_back
