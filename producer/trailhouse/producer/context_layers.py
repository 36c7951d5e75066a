"""Layers of a context: one for each block that is open around a call, and none of a block that is over."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from contextvars import Token

Value = TypeVar("Value")


class Block:
    """The block that a layer was made for; copies of the layer share it."""

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        self.is_over = False


class Layer(Generic[Value]):
    """What one open block says, and the layer around it."""

    __slots__ = ("block", "outer", "value")

    def __init__(self, value: Value, outer: Layer[Value] | None, block: Block) -> None:
        self.value = value
        self.outer = outer
        self.block = block


class Layers(Generic[Value]):
    """A stack of layers in a context variable: each thread has its own, each asyncio task a copy.

    A variable alone is not enough. Generators run in their caller's context, so blocks may be left in
    another order than they were entered, and one that is abandoned is left in another context than its own:
    what was bound there would stay bound, and name the wrong run for ever.
    """

    def __init__(self, name: str) -> None:
        self._top: ContextVar[Layer[Value] | None] = ContextVar(name, default=None)
        self.newest = self._top.get
        """The newest layer, which may be of a block that is over: see `top`. A call costs 15 ns."""

    @property
    def top(self) -> Layer[Value] | None:
        """The innermost layer whose block is not over."""
        layer = self._top.get()
        while layer is not None and layer.block.is_over:
            layer = layer.outer
        return layer

    def push(self, value: Value) -> Pushed[Value]:
        """Lay *value* on top in this context."""
        layer = Layer(value, self.top, Block())
        return Pushed(layer, self._top.set(layer))

    def remove(self, pushed: Pushed[Value], *, everywhere: bool) -> None:
        """Take a layer off in this context; tasks that were begun under it keep it unless *everywhere*.

        Called in another context than `push` was, it is taken off everywhere: there is no other way to
        reach the context that it was laid in.
        """
        layer = pushed.layer
        top = self._top.get()
        try:
            self._top.reset(pushed.token)
        except ValueError:  # another context
            everywhere = True
        else:
            if top is not layer:  # what was laid on it, and is not over, stays
                self._top.set(_without(top, layer.block))
        if everywhere:
            layer.block.is_over = True


class Pushed(Generic[Value]):
    """What `Layers.push` gives, for `Layers.remove`."""

    __slots__ = ("layer", "token")

    def __init__(self, layer: Layer[Value], token: Token[Layer[Value] | None]) -> None:
        self.layer = layer
        self.token = token


def _without(layer: Layer[Value] | None, block: Block) -> Layer[Value] | None:
    """Return the stack that ends in *layer*, without the layer of *block*."""
    above: list[Layer[Value]] = []
    while layer is not None and layer.block is not block:
        above.append(layer)
        layer = layer.outer
    below = None if layer is None else layer.outer
    for each in reversed(above):
        below = Layer(each.value, below, each.block)
    return below
