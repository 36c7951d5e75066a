"""Do duties beside each other: while ClickHouse computes for one, another's bytes are hashed here."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Thread
from typing import Any, Generic, TypeVar

from trailhouse.schemas.errors import StorageUnavailableError
from trailhouse.store.clickhouse import ClickHouse, Result

LANES = 3
"""ClickHouse has two statements to compute for while a third duty hashes; each holds about a block in memory."""
END_SECONDS = 5.0
"""Who ends the run waits so long for what is under way, such as a database that is dropped again."""
_Value = TypeVar("_Value")


class EndableClickHouse(ClickHouse):
    """A connection whose reading can be ended from another thread; what is written down meanwhile is finished."""

    _is_ended = False

    def end(self) -> None:
        """Let the next statement that reads, and the next piece of an answer, raise `StorageUnavailableError`."""
        self._is_ended = True

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, **how: Any) -> Result:
        """Do what `ClickHouse.query` does."""
        self.go_on()
        return super().query(sql, parameters, **how)

    def stream(
        self, sql: str, parameters: Mapping[str, Any] | None = None, **how: Any
    ) -> Iterator[bytes]:
        """Do what `ClickHouse.stream` does."""
        self.go_on()
        for piece in super().stream(sql, parameters, **how):
            self.go_on()
            yield piece

    def go_on(self) -> None:
        """Raise `StorageUnavailableError` once this was ended."""
        if self._is_ended:
            raise StorageUnavailableError("the run was ended")


class _Lane(Thread, Generic[_Value]):
    """Does what is left, one step at a time."""

    def __init__(self, left: list[tuple[int, Callable[[], _Value]]]) -> None:
        super().__init__(daemon=True, name="trailhouse verify")
        self._left = left
        self.done: dict[int, _Value] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do steps until none is left."""
        with contextlib.suppress(IndexError):  # another lane took the last
            while self._left:
                number, step = self._left.pop(0)
                try:
                    self.done[number] = step()
                except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                    self.error = error
                    self._left.clear()


def beside(
    steps: Sequence[Callable[[], _Value]], end: Callable[[], None], lanes: int = LANES
) -> list[_Value]:
    """Do *steps*, begun in their order and a few at a time; return what each has returned, in their order.

    An exception of one is raised here. Where this is interrupted, as by Ctrl-C, *end* is called, upon which steps
    should end soon; they are waited for some seconds and then left.
    """
    left = list(enumerate(steps))
    threads: list[_Lane[_Value]] = [_Lane(left) for _ in range(min(lanes, len(steps)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        left.clear()
        end()
        until = time.monotonic() + END_SECONDS
        for thread in (each for each in threads if each.ident is not None):
            thread.join(max(0.0, until - time.monotonic()))
        raise
    for thread in threads:
        if thread.error is not None:
            raise thread.error
    done = {number: value for thread in threads for number, value in thread.done.items()}
    return [done[number] for number in range(len(steps))]
