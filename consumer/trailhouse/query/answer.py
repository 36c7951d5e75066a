"""What every read returns: the answer, whether it is whole, what it left out, and how to go on."""

import datetime as dt
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an answer does not hold, although it was asked for.

    Attributes:
        what: What is missing, in words: "older events", "events ahead of the clock".
        how_many: How many of it; None where nobody counted.
        why: Why it is missing, and the way to it.
    """

    what: str
    how_many: int | None = None
    why: str


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some of what was asked for, in order.

    Attributes:
        items: The answers of this page.
        complete: Whether nothing was left out so far. With `next` None too, this is all there is.
        left_out: What is missing, and the way to it; empty exactly when `complete`.
        searched_back_to: The time up to which everything was looked at, in the direction of the walk; None: all of it.
        as_of: Last offset of each partition ("topic_id:partition") that was stored before the read began:
            everything up to there was seen.
        next: The cursor of the next page; None after the last.
    """

    items: tuple[T, ...]
    complete: bool = True
    left_out: tuple[LeftOut, ...] = ()
    searched_back_to: dt.datetime | None = None
    as_of: Mapping[str, int] = {}
    next: str | None = None


class Answer(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One value that was asked for.

    Attributes:
        value: The answer.
        exact: Whether it is so of everything that was asked about; False for a lower bound or a part.
        complete: Whether nothing was left out.
        left_out: What is missing, and the way to it; empty exactly when `complete`.
        searched_back_to: The time up to which everything was looked at; None: all of it.
        as_of: As of a `Page`.
    """

    value: T
    exact: bool = True
    complete: bool = True
    left_out: tuple[LeftOut, ...] = ()
    searched_back_to: dt.datetime | None = None
    as_of: Mapping[str, int] = {}
