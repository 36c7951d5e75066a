"""A logger that is interrupted at a chosen step of a call, and what must be in its spool afterwards."""

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any

import trailhouse.producer
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.frame import Damage, Frame
from trailhouse.producer.spool.reader import frames_of
from trailhouse.producer.spool.root import folders
from trailhouse.producer.spool.status import spools_status
from trailhouse.schemas import KafkaConfig, decode
from trailhouse.schemas.errors import ProducerClosedError, SpoolUnavailableError

AWAY = KafkaConfig(bootstrap_servers="127.0.0.1:1")
OURS = str(Path(trailhouse.producer.__file__).parent)
MINE = b"a file of the program\n"
BODY = "x" * 300


class Interrupt(BaseException):
    """What a handler raises, as Ctrl-C does."""


class Scene:
    """One logger, what its callers were told, and the program's own files."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.root = folder / "spool"
        self.folder = folder
        config = ProducerConfig(
            kafka=AWAY, spool_dir=str(self.root), fsync="never", close_timeout_seconds=0, **settings
        )
        self.audit = AuditLogger(config)
        self.returned: list[str] = []
        self.is_interrupted = False
        self.is_closed = False
        self.mine: list[int] = []
        self.in_child: list[str] = []

    def log(self, name: str) -> None:
        """Log, and note what was returned."""
        receipt = self.audit.log(name, session_id="s", data={"text": BODY})
        assert receipt is not None
        self.returned.append(receipt.event_id)

    def logs(self) -> None:
        """Log in the handler."""
        self.log("handler")

    def closes(self) -> None:
        """Close in the handler; then open files, which take the numbers of what was closed."""
        self.is_closed = True
        self.audit.close(0)
        for number in range(12):
            file = os.open(self.folder / f"mine{number}", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.write(file, MINE)
            self.mine.append(file)

    def raises(self) -> None:
        """Raise in the handler."""
        self.is_interrupted = True
        raise Interrupt

    def check(self) -> None:
        """Check what is in the spool against what the callers know."""
        found = found_in(self.root)
        events = [decode(each.record) for each in found if isinstance(each, Frame)]
        assert len(events) == len(found), "expected no damaged range"
        ids = [event.event_id for event in events]
        assert len(set(ids)) == len(ids), "expected no event twice"
        assert not set(self.returned) - set(ids), "expected every event whose log returned"
        assert len(ids) <= len(self.returned) + self.is_interrupted, "expected nothing else"
        assert [event.source and event.source.seq for event in events] == list(range(len(events)))
        assert not sum(each.missing_events for each in spools_status(self.root).spools)
        for file in self.mine:
            assert os.pread(file, 1_000, 0) == MINE, "expected the program's own file untouched"

    def check_family(self) -> None:
        """Check what parent and child have spooled against what their callers know."""
        found = found_in(self.root)
        events = [decode(each.record) for each in found if isinstance(each, Frame)]
        ids = [event.event_id for event in events]
        assert len(ids) == len(found), "expected no damaged range"
        assert sorted(ids) == sorted({*self.returned, *self.in_child})
        numbers: dict[str, list[int]] = {}
        for event in events:
            assert event.source is not None
            assert event.source.producer_id is not None
            assert event.source.seq is not None
            numbers.setdefault(event.source.producer_id, []).append(event.source.seq)
        assert all(each == list(range(len(each))) for each in numbers.values()), numbers

    def end(self) -> None:
        """Close everything."""
        self.audit.close(0)
        for file in self.mine:
            os.close(file)


def found_in(root: Path) -> list[Frame | Damage]:
    """Return what all spools hold; the sender may remove an empty one meanwhile, which an interrupted call has left."""
    found: list[Frame | Damage] = []
    for path in folders(root):
        try:
            found += [item.found for item in frames_of(path)]
        except SpoolUnavailableError:
            if path.exists():
                raise
    return found


@contextlib.contextmanager
def interrupted_at(step: int, action: Callable[[], None], kind: str) -> Generator[list[str]]:
    """Run *action* at the *step*-th line, or opcode, of our modules; yields where that was."""
    count = itertools.count()
    where: list[str] = []

    def trace_frame(frame: FrameType, event: str, _arg: object) -> Any:
        if event == kind and not where and next(count) == step:
            code = frame.f_code
            where.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
            with contextlib.suppress(
                ProducerClosedError
            ):  # a handler that comes during `close` may log in vain
                action()
        return trace_frame

    def trace_call(frame: FrameType, _event: str, _arg: object) -> Any:
        if where or not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = kind == "opcode"
        return trace_frame

    before = sys.gettrace()
    sys.settrace(trace_call)
    try:
        yield where
    finally:
        sys.settrace(before)


Prepare = Callable[[Path], Scene]


def first(folder: Path) -> Scene:
    """Return a logger that has logged nothing yet."""
    return Scene(folder)


def ordinary(folder: Path) -> Scene:
    """Return a logger that has logged."""
    scene = Scene(folder)
    scene.log("before")
    return scene


def next_segment(folder: Path) -> Scene:
    """Return a logger whose next event begins another file."""
    scene = Scene(folder, max_event_bytes=1_000, spool_segment_bytes=1_000)
    scene.log("before")
    return scene


def full_memory(folder: Path) -> Scene:
    """Return a logger whose events go to the disk alone by now."""
    scene = Scene(folder, queue_events=1)
    for _ in range(3):
        scene.log("before")
    return scene
