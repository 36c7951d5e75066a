"""Programs that fail at an exact instant: a named function of theirs is wrapped before they begin.

``at("trailhouse.consumer.batch.writer:BatchWriter._quarantine", "after", "kill", nth=3)`` is a failpoint: the
program dies when the third call of that function has returned. A test hands failpoints to a program's
text with `program`; the program itself arms them with `arm`.
"""

import faulthandler
import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

Moment = Literal["before", "after", "instead"]
Action = Literal["kill", "stop", "block", "skip", "enospc", "eio"]
SUPPORT = Path(__file__).parent
_ERRNOS = {"enospc": 28, "eio": 5}


class Failpoint(NamedTuple):
    """What happens, and when: before, after or instead of the *nth* to the *last* call of *place*."""

    place: str
    moment: Moment
    action: Action
    nth: int
    last: int
    seconds: float
    table: str


def at(
    place: str,
    moment: Moment,
    action: Action,
    *,
    nth: int = 1,
    last: int | None = None,
    seconds: float = 3_600.0,
    table: str = "",
) -> Failpoint:
    """Return a failpoint.

    Args:
        place: ``module:function`` or ``module:Class.method``.
        nth: The first call that fails, counted from 1; *last* is the last one, *nth* if not given.
        seconds: How long ``block`` blocks.
        table: Count only calls whose first argument is a block of this table.
    """
    return Failpoint(place, moment, action, nth, nth if last is None else last, seconds, table)


def program(
    body: str, failpoints: Sequence[Failpoint] = (), options: Mapping[str, object] | None = None
) -> str:
    """Return the text of a program that arms *failpoints*, sets librdkafka's *options*, and runs *body*."""
    points = [tuple(point) for point in failpoints]
    return (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "import faulty_programs, mechanisms\n"
        "mechanisms.switch_off_what_is_told()\n"
        f"faulty_programs.arm({points!r})\n"
        f"faulty_programs.set_consumer_options({dict(options or {})!r})\n"
        f"{body}\n"
    )


PWRITE = "os:pwrite"


def arm(points: Sequence[tuple[Any, ...]]) -> None:
    """Wrap each failpoint's function in this process; SIGRTMIN shows where its threads stand."""
    faulthandler.register(signal.SIGRTMIN)
    for point in points:
        if point[0] == PWRITE:  # every frame goes through it then
            replace("trailhouse.producer.spool.held_write:c_pwrite", lambda _: lambda: None)
        _wrap(Failpoint(*point))


def set_consumer_options(options: Mapping[str, object]) -> None:
    """Have the worker's consumer made with *options* of librdkafka beside its own."""
    if options:
        replace(
            "trailhouse.consumer.membership.source:consumer_options",
            lambda original: lambda *given: original(*given) | options,
        )


def deliver_nothing_of(partitions: Sequence[int], once: Path) -> None:
    """Have the worker's consumer deliver no record of *partitions* once the file *once* exists, and have
    the ledger asked again and again meanwhile, as in the hours that a real worker has."""
    replace("trailhouse.consumer.membership.assignment_guard:LEDGER_EVERY_SECONDS", lambda _: 0.5)

    def make(original: Any) -> Any:
        def read(self: Any, records: int, timeout_seconds: float) -> list[Any]:
            found = original(self, records, timeout_seconds)
            silent = partitions if once.exists() else ()
            return [message for message in found if message.partition() not in silent]

        return read

    replace("trailhouse.consumer.membership.source:KafkaSource.read", make)


def read_in_small_pieces() -> None:
    """Have the worker close its batches at `batch_rows`, and not a whole read later."""
    replace("trailhouse.consumer.membership.batch_reader:READ_RECORDS", lambda _: 50)


def replace(place: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of the function that *place* names."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, make(getattr(owner, name)))


def _wrap(point: Failpoint) -> None:
    calls = 0
    lock = threading.Lock()

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            if point.table and all(getattr(each, "table", "") != point.table for each in args):
                return original(*args, **kwargs)
            with lock:
                calls += 1
                is_hit = point.nth <= calls <= point.last
            if is_hit and point.moment != "after":
                _act(point)
                if point.moment == "instead":
                    return None
            result = original(*args, **kwargs)
            if is_hit and point.moment == "after":
                _act(point)
            return result

        return wrapped

    replace(point.place, make)


def _act(point: Failpoint) -> None:
    match point.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "block":
            sys.stderr.write(f"failpoint: blocked in {point.place}\n")
            threading.Event().wait(point.seconds)
        case "skip":
            return
        case _:
            number = _ERRNOS[point.action]
            raise OSError(number, os.strerror(number))
