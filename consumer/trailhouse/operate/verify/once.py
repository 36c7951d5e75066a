"""What is worked out when it is first asked for, once, however many duties ask at a time.

`functools.cached_property` has no lock from Python 3.12 on.
"""

from collections.abc import Callable
from threading import Lock, RLock
from typing import Any, Generic, Self, TypeVar, overload

_Value = TypeVar("_Value")
_GUARD = Lock()


class Once(Generic[_Value]):
    """A property that is worked out once for each object; who asks meanwhile waits for it.

    Where that raises, all who ask are told the same: what was half seen is not begun anew.
    """

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...

    def __get__(self, instance: object | None, owner: type) -> Self | _Value:
        if instance is None:
            return self
        # Once a value is there, Python finds it without asking us: we have no `__set__`.
        held = vars(instance)
        with _GUARD:
            state: _State = held.setdefault(f"{self._name} is worked out", _State())
        with state.lock:
            if state.error is not None:
                raise state.error
            if self._name not in held:
                try:
                    held[self._name] = self._make(instance)
                except Exception as error:
                    state.error = error
                    raise
            value: _Value = held[self._name]
            return value


class _State:
    """Of one property of one object."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.error: Exception | None = None
