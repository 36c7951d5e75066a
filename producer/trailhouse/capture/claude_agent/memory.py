"""What is remembered from one connection to the next: a session may be gone on with in another."""

from __future__ import annotations

from collections import Counter, OrderedDict
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")

MAX_REMEMBERED = 10_000


class Counted(NamedTuple):
    """What a session had used by its last result: the command line goes on counting where it is resumed."""

    tokens: Counter[str]
    cost: Decimal


class DeferredCall(NamedTuple):
    """A tool call that waits for a decision: the next connection gets its answer, without its name."""

    name: str
    arguments: object


class Remembered(OrderedDict[str, Value], Generic[Value]):
    """Values by id, the newest of them."""

    def __setitem__(self, key: str, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > MAX_REMEMBERED:
            self.popitem(last=False)


class Memory:
    """What the conversations of one `ClaudeAudit` tell each other."""

    def __init__(self) -> None:
        self.counted: Remembered[Counted] = Remembered()
        self.deferred: Remembered[DeferredCall] = Remembered()
