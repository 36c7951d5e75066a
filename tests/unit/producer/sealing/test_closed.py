"""The last seals of loggers that have closed: who repeats them, and what is not repeated."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from sealing import SERVICE, seal_key
from trailhouse.producer.clock import SYSTEM_CLOCK, Clock
from trailhouse.producer.sealing.closed import MOST_SECONDS, ClosedSeals
from trailhouse.proof.keys import read_key_file
from trailhouse.proof.seal import SealData, data_of, sealed
from trailhouse.schemas import KafkaConfig

PRODUCER_ID = "0190aaaa-0000-7000-8000-000000000001"
NOW_NS = time.time_ns()


def closed(
    root: Path, *, topic: str = "events", service: str = SERVICE, late: float = 0
) -> ClosedSeals:
    clock = Clock(SYSTEM_CLOCK.monotonic_seconds, lambda: NOW_NS + int(late * 1e9))
    return ClosedSeals(root, KafkaConfig(topic=topic), service, clock)


def last_seal(folder: Path) -> SealData:
    """Return a last seal, signed by the service's key."""
    signer = read_key_file(seal_key(folder))
    seal = sealed(
        SERVICE, PRODUCER_ID, 3, [bytes(32)], next_within_seconds=60, is_last=True, own_seq=4
    )
    return data_of(seal, signer.public_key, signer.sign(seal.text.encode()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of spools."""
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    return folder


def test_what_one_logger_keeps_the_next_finds_with_its_time(root: Path, tmp_path: Path) -> None:
    """It is the seal as it was signed, and when it was made; once it is repeated it is gone."""
    data = last_seal(tmp_path)
    closed(root).keep(data)
    [found] = closed(root, late=60).waiting()
    assert found.data == msgspec.structs.replace(data, repeats_ms=NOW_NS // 1_000_000)
    assert (found.seal.producer_id, found.seal.own_seq) == (PRODUCER_ID, 4)
    closed(root).forget(found.name)
    assert closed(root).waiting() == []
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("other", [{"topic": "another"}, {"service": "another"}])
def test_who_logs_to_another_topic_or_for_another_service_leaves_it(
    root: Path, tmp_path: Path, other: dict[str, str]
) -> None:
    """There it would name numbers that nobody has logged."""
    closed(root).keep(last_seal(tmp_path))
    assert closed(root, **other).waiting() == []  # type: ignore[arg-type]  # names of arguments
    assert len(closed(root).waiting()) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"service":', b"[1]", b"\xff", b"\x00" * 4_096])
def test_what_a_disk_has_damaged_is_repeated_by_nobody(
    root: Path, tmp_path: Path, content: bytes
) -> None:
    """`verify` would call it forged; it is removed."""
    closed(root).keep(last_seal(tmp_path))
    [file] = root.iterdir()
    file.write_bytes(content)
    assert closed(root).waiting() == []
    assert list(root.iterdir()) == []


def test_what_its_key_has_not_signed_is_repeated_by_nobody(root: Path, tmp_path: Path) -> None:
    """One number more than was sealed, and the signature says no."""
    data = last_seal(tmp_path)
    closed(root).keep(msgspec.structs.replace(data, own_seq=5))
    assert closed(root).waiting() == []


def test_a_link_or_a_file_that_others_can_write_is_not_read(root: Path, tmp_path: Path) -> None:
    """Who may write there is not who logs."""
    closed(root).keep(last_seal(tmp_path))
    [file] = root.iterdir()
    outside = tmp_path / "outside"
    file.rename(outside)
    file.symlink_to(outside)
    assert closed(root).waiting() == []
    outside.chmod(0o666)
    os.link(outside, file)
    assert closed(root).waiting() == []


def test_what_nobody_repeats_is_forgotten_after_a_month(root: Path, tmp_path: Path) -> None:
    """A service that never comes back leaves nothing for ever."""
    closed(root).keep(last_seal(tmp_path))
    [file] = root.iterdir()
    os.utime(file, (NOW_NS / 1e9, NOW_NS / 1e9))
    assert len(closed(root, late=MOST_SECONDS - 1).waiting()) == 1
    assert closed(root, service="another", late=MOST_SECONDS + 1).waiting() == []
    assert list(root.iterdir()) == []


def test_a_folder_that_is_missing_or_full_stops_nobody(tmp_path: Path) -> None:
    """What cannot be kept is repeated by nobody; the logger closes all the same."""
    closed(tmp_path / "none").keep(last_seal(tmp_path))
    assert closed(tmp_path / "none").waiting() == []
