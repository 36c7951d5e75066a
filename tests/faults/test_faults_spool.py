"""Fault 24 and the torn tail of 22: the disk under the spool is full, fails, or gives back other bytes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fault_scene import RUN_LOAD, LoadProcess, Scene
from faulty_programs import Action, at
from load_program import Options
from trailhouse.producer.spool.frame import HEADER_BYTES, Frame, scan
from trailhouse.schemas import decode

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

SMALL: dict[str, object] = {
    "producer_max_event_bytes": 10_000, "producer_spool_segment_bytes": 20_000, "producer_spool_bytes": 40_000_000,
}  # fmt: skip
LIMIT_FILES = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
MOUNT_SMALL = 'mkdir -p "$0" && mount -t tmpfs -o size=300k,mode=700 tmpfs "$0" && exec "$@"'


def left_by_the_dead(stage: Scene, events: int) -> LoadProcess:
    """Return a producer that was killed with *events* in its spool and none at the broker."""
    load = stage.load(stage.offline(), events=events, rate=0, body_bytes=400, settings=SMALL)
    load.wait_for(events)
    load.kill()
    return load


def segments_of(stage: Scene) -> list[Path]:
    """Return the one spool's files in order."""
    (folder,) = stage.spooled_folders()
    return sorted(folder.glob("*.seg"))


def frames_of(path: Path) -> list[Frame]:
    """Return the whole frames of a file."""
    return [each for each in scan(path.read_bytes(), 0)[0] if isinstance(each, Frame)]


def forgive(stage: Scene, frames: list[Frame]) -> list[bytes]:
    """Tell the oracle that these were destroyed on purpose; return their records."""
    stage.oracle.forgiven |= {decode(frame.record).event_id for frame in frames}
    return [frame.record for frame in frames]


@pytest.mark.parametrize("size_bytes", [1, 3, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 50])
def test_fault_22_a_torn_tail_is_ignored(stage: Scene, size_bytes: int) -> None:
    """A frame that a kill has cut off at any byte was never taken, and stops nothing."""
    left_by_the_dead(stage, 40)
    last = segments_of(stage)[-1]
    content = last.read_bytes()
    with last.open("ab") as file:
        file.write(content[:size_bytes])
    stage.worker()
    stage.start_and_end_a_logger()
    stage.settle()
    assert not stage.spooled_folders(), "expected the spool to be settled and gone"


def flip_a_bit(path: Path) -> list[Frame]:
    """Flip one bit in the body of the third record; return the frame as it was."""
    frames = frames_of(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"xxxxxxxx", frames[2].end - len(frames[2].record)) + 4] ^= 1
    path.write_bytes(content)
    return [frames[2]]


def zero_a_block(path: Path) -> list[Frame]:
    """Write zeros over three frames, headers and all, as a disk does that has lost a block."""
    frames = frames_of(path)
    content = path.read_bytes()
    begin, end = frames[1].end, frames[4].end
    path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
    return frames[2:5]


def break_a_length(path: Path) -> list[Frame]:
    """Change the length that stands before the third record."""
    frames = frames_of(path)
    content = bytearray(path.read_bytes())
    content[frames[1].end + 12] ^= 0x40
    path.write_bytes(content)
    return [frames[2]]


@pytest.mark.parametrize("damage", [flip_a_bit, zero_a_block, break_a_length])
def test_fault_24_bit_flip(stage: Scene, damage: Callable[[Path], list[Frame]]) -> None:
    """Damage in the middle of a spool is found and set aside; all that follows is sent."""
    left_by_the_dead(stage, 120)
    files = segments_of(stage)
    assert len(files) > 2, f"expected several segments, got {files}"
    destroyed = forgive(stage, damage(files[0]))
    stage.worker()
    stage.start_and_end_a_logger(finds_damage=True)
    view = stage.settle()
    assert len(view) == 120 - len(destroyed), f"expected the other events, got {len(view)}"
    quarantined = b"".join(path.read_bytes() for path in (stage.spools / "quarantine").iterdir())
    assert len(quarantined) >= len(destroyed[0]), "expected the damaged bytes to be kept aside"


def test_fault_24_a_segment_that_is_gone(stage: Scene) -> None:
    """A file of the spool that somebody has removed stops nothing that stands in the others."""
    left_by_the_dead(stage, 120)
    files = segments_of(stage)
    forgive(stage, frames_of(files[1]))
    files[1].unlink()
    stage.worker()
    stage.start_and_end_a_logger(finds_damage=True)
    stage.settle()


def test_fault_24_a_spool_that_was_cut_off_is_told(stage: Scene) -> None:
    """What somebody has cut off at the end leaves no hole in the numbers: how far it was written is noted."""
    left_by_the_dead(stage, 200)
    files = segments_of(stage)
    forgive(stage, frames_of(files[-1]) + frames_of(files[-2]))
    for path in files[-2:]:
        path.unlink()
    stage.worker()
    stage.start_and_end_a_logger(finds_damage=True)
    stage.settle()


def test_fault_24_a_spool_that_others_can_write_is_not_sent(stage: Scene) -> None:
    """Who could have planted its events is not trusted: the spool is named, and left as it is."""
    left_by_the_dead(stage, 40)
    forgive(stage, [frame for path in segments_of(stage) for frame in frames_of(path)])
    (folder,) = stage.spooled_folders()
    folder.chmod(0o777)
    stage.worker()
    stage.start_and_end_a_logger()
    assert stage.spooled_folders() == [folder], "expected the spool to be left as it is"
    stage.settle()


@pytest.mark.parametrize("disk", ["limited_file", "tmpfs"])
def test_fault_24_disk_full(stage: Scene, disk: str) -> None:
    """A full disk under the spool is an error to each caller, and the events taken before are sent."""
    history = stage.folder / "full.history"
    options = Options(
        history=str(history),
        prefix="full",
        events=260,
        rate=400,
        body_bytes=3_000,
        close_seconds=60,
    )
    wrapper: list[str] = []
    large: dict[str, object] = (
        {"producer_spool_segment_bytes": 200_000} if disk == "limited_file" else {}
    )
    if disk == "tmpfs":
        if shutil.which("unshare") is None:
            pytest.skip("no unshare here")
        wrapper = ["unshare", "-rm", "sh", "-c", MOUNT_SMALL, str(stage.spools)]
    stage.worker()
    load = stage.run_producer(
        (LIMIT_FILES if disk == "limited_file" else "") + RUN_LOAD,
        msgspec.json.encode(options).decode(),
        failpoints=[stage.offline(calls=150)],
        settings=SMALL | {"producer_queue_timeout_seconds": 0.02} | large,
        history=history,
        wrapper=wrapper,
    )
    assert load.process.wait(90) == 0, load.output[-800:]
    assert "refused: SpoolFullError" in load.output, "expected an error for who logs"
    assert load.taken >= 10, "expected events before the disk was full"
    stage.settle()


@pytest.mark.parametrize("error", ["eio", "enospc"])
def test_fault_24_write_errors(stage: Scene, error: Action) -> None:
    """A disk that fails for a while: a refused event is an error, want of room is waited for, order is kept."""
    stage.worker()
    load = stage.load(
        at("os:pwrite", "before", error, nth=20, last=40),
        events=200,
        rate=400,
    )
    assert load.process.wait(60) == 0, load.output[-800:]
    if error == "eio":
        assert load.output.count("refused: SpoolUnavailableError") >= 15, load.output
    else:
        assert load.taken == 200, f"expected the callers to wait for room: {load.output}"
    view = stage.settle()
    assert len(view) == load.taken


def test_fault_24_no_folder(stage: Scene) -> None:
    """A spool folder that cannot be made is one clear error when the logger is made, and nothing is taken."""
    stage.spools.write_text("a file stands here")
    load = stage.load(events=20, rate=0)
    assert load.process.wait(60) != 0, load.output[-800:]
    assert "ConfigError" in load.output, load.output
    assert "TRAILHOUSE_PRODUCER_SPOOL_DIR" in load.output, load.output
    assert load.taken == 0
