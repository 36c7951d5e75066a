"""What lies in the folder of the spools: only what we made is read, written or removed."""

import os
import time
from pathlib import Path
from zlib import crc32

import pytest
from typer.testing import CliRunner

from trailhouse.cli.spool import spool_app
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.spool.folder import SpoolFolder, remove_unfinished, segments
from trailhouse.producer.spool.frame import frame
from trailhouse.producer.spool.queue import SpoolQueue
from trailhouse.producer.spool.reader import SpoolReader
from trailhouse.producer.spool.root import folders, survey
from trailhouse.producer.spool.status import SpoolStatus, spools_status
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import ConfigError, SpoolUnavailableError

AWAY = KafkaConfig(bootstrap_servers="127.0.0.1:1")
OLD_SECONDS = 3_600.0
SAYS_WHAT_IS_LEFT = "trailhouse.producer.spool.orphans"


def config_of(root: Path, **settings: object) -> ProducerConfig:
    """Return settings that spool under *root* and reach no broker."""
    return ProducerConfig(
        kafka=AWAY,
        spool_dir=str(root),
        close_timeout_seconds=0,
        **settings,  # type: ignore[arg-type]  # checked by it
    )


def left_behind(root: Path, count: int = 3) -> Path:
    """Leave *count* events in a spool under *root*; return its folder."""
    known = folders(root)
    audit = AuditLogger(config_of(root))
    for number in range(count):
        audit.log("tick", session_id="s", data={"n": number, "text": "x" * 100})
    audit.close(0)
    [path] = set(folders(root)) - set(known)
    return path


def status_of(path: Path) -> SpoolStatus:
    """Return the status of the spool in *path*."""
    return next(each for each in spools_status(path.parent).spools if each.spool == path.name)


def test_nothing_of_others_is_removed_from_a_folder_that_is_not_ours_alone(tmp_path: Path) -> None:
    """A home folder that is named as the folder of the spools keeps all that is in it, hidden or not."""
    old = time.time() - OLD_SECONDS
    for name in (".ssh", ".git", ".config", "work", f".{'0' * 10}-not-an-id"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text("mine")
        os.utime(tmp_path / name, (old, old))
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    left_behind(tmp_path)
    remove_unfinished(tmp_path)

    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_what_a_killed_process_left_half_made_is_removed_but_nothing_else_in_it(
    tmp_path: Path,
) -> None:
    """A half-made spool goes, file by file; one that holds anything else keeps that."""
    old = time.time() - OLD_SECONDS
    path = left_behind(tmp_path)
    half_made = path.rename(path.with_name(f".{path.name}"))
    with_more = left_behind(tmp_path)
    with_more = with_more.rename(with_more.with_name(f".{with_more.name}"))
    (with_more / "thesis.tex").write_text("mine")
    for each in (half_made, with_more):
        os.utime(each, (old, old))
    remove_unfinished(tmp_path)

    assert not half_made.exists()
    assert [each.name for each in with_more.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Who could plant events there is not trusted: one clear error when the logger is made, with the way out."""
    root = tmp_path / "spool"
    root.mkdir()
    root.chmod(mode)
    with pytest.raises(ConfigError, match=r"others can write.*TRAILHOUSE_PRODUCER_SPOOL_DIR"):
        AuditLogger(config_of(root))
    with pytest.raises(SpoolUnavailableError, match="others can write"):
        folders(root)

    assert list(root.iterdir()) == []


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask, nobody else reads or writes what is spooled."""
    before = os.umask(0)
    try:
        path = left_behind(tmp_path / "spool")
    finally:
        os.umask(before)

    modes = {each.lstat().st_mode & 0o077 for each in (path.parent, path, *path.iterdir())}
    assert modes == {0}


def test_a_disabled_logger_touches_nothing(tmp_path: Path) -> None:
    """With auditing off by its settings, a folder that cannot be used is no error and is not made."""
    (tmp_path / "file").write_text("")
    AuditLogger(config_of(tmp_path / "file" / "spool", enabled=False)).close(0)
    AuditLogger(config_of(tmp_path / "spool", mode="memory")).close(0)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_planted_spool_is_named_and_never_read(tmp_path: Path) -> None:
    """One that another user made, that others can write to, a link or a file is refused, each with its reason."""
    writable, foreign, linked = (left_behind(tmp_path / "spool") for _ in range(3))
    writable.chmod(0o777)
    elsewhere = linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(elsewhere)
    (tmp_path / "spool" / f"{'9' * 10}-{foreign.name[11:]}").write_text("")
    if os.geteuid() == 0:
        os.chown(foreign, 12_345, 12_345)
    found = survey(tmp_path / "spool")

    assert found.folders == ([] if os.geteuid() == 0 else [foreign])
    assert "others can write" in found.refused[writable.name]
    assert found.refused[linked.name] == "it is not a folder"
    assert spools_status(tmp_path / "spool").refused == found.refused


@pytest.mark.parametrize("name", ["00000001.seg", "acked", "lock", "destination"])
@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_a_file_that_is_none_holds_nobody(tmp_path: Path, name: str, kind: str) -> None:
    """A FIFO or a link in the place of a file of a spool is refused at once, and not followed."""
    path = left_behind(tmp_path / "spool")
    (path / name).rename(tmp_path / "original")
    if kind == "fifo":
        os.mkfifo(path / name)
    else:
        (path / name).symlink_to(tmp_path / "original")
    before = (tmp_path / "original").read_bytes()
    spools_status(tmp_path / "spool")
    if name in {"acked", "lock"}:
        with pytest.raises(OSError, match=r"not a file of a spool|[Ss]ymbolic"):
            SpoolFolder.take(path)
    elif name.endswith(".seg"):
        with pytest.raises(SpoolUnavailableError):
            SpoolReader(path, 1 << 32).read()

    assert (tmp_path / "original").read_bytes() == before


def test_a_spool_without_its_lock_file_is_still_one(tmp_path: Path) -> None:
    """A cleaner that deletes ``lock`` neither hides a spool nor frees that of a running logger."""
    orphan = left_behind(tmp_path / "spool")
    (orphan / "lock").unlink()
    audit = AuditLogger(config_of(tmp_path / "spool"))
    audit.log("tick", session_id="s")
    [live] = set(folders(tmp_path / "spool")) - {orphan}
    (live / "lock").unlink()

    assert status_of(orphan).events == 3
    assert (status_of(live).state, SpoolFolder.take(live)) == ("live", None)
    audit.close(0)


def test_spools_are_in_the_order_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that steps back between two processes does not turn their spools around."""
    first = left_behind(tmp_path)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600 * 10**9)
    second = left_behind(tmp_path)

    assert folders(tmp_path) == [first, second]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"topic": 7}'])
def test_a_spool_that_nobody_knows_where_to_send_is_told_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A spool whose destination cannot be read is named in one line with the way out, counted, and kept."""
    path = left_behind(tmp_path)
    (path / "destination").unlink()
    if content is not None:
        (path / "destination").write_bytes(content)
        (path / "destination").chmod(0o600)
    queue = SendQueue(9, 9_999, SpoolQueue(config_of(tmp_path), "test"))
    assert not queue.has_orphans()
    assert not any(queue.adopt() for _ in range(2))

    [told] = [record.message for record in caplog.records if record.name == SAYS_WHAT_IS_LEFT]
    assert path.name in told
    assert "`trailhouse spool drain --any-destination`" in told
    assert queue.stats().unreadable_spools_total == 1
    found = spools_status(tmp_path)
    assert (found.unknown_destinations, found.spools[0].events) == (1, 3)
    result = CliRunner().invoke(spool_app, ["status", "--spool-dir", str(tmp_path)])
    assert "--any-destination" in result.output
    queue.close()
    drains = SendQueue(9, 9_999, SpoolQueue(config_of(tmp_path), "test"))
    assert drains.adopt(any_destination=True)
    drains.close()


def test_a_live_spool_is_no_riddle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said of a spool that its logger holds, whatever became of its destination."""
    audit = AuditLogger(config_of(tmp_path))
    audit.log("tick", session_id="s")
    [path] = folders(tmp_path)
    (path / "destination").unlink()
    queue = SendQueue(9, 9_999, SpoolQueue(config_of(tmp_path), "test"))
    assert not queue.adopt()
    assert [record for record in caplog.records if record.name == SAYS_WHAT_IS_LEFT] == []
    queue.close()
    audit.close(0)


@pytest.mark.parametrize("size_bytes", [20_000, 1, 0])
def test_a_spool_that_was_cut_off_is_told(tmp_path: Path, size_bytes: int) -> None:
    """Of 100 events whose file was cut off, those that are gone are counted, to within the last 64."""
    path = left_behind(tmp_path, 100)
    [(_, file)] = segments(path)
    os.truncate(file, size_bytes)
    found = status_of(path)

    assert 64 <= found.events + found.missing_events <= 100
    assert found.missing_events > 0


def test_a_checkpoint_after_the_end_skips_nothing(tmp_path: Path) -> None:
    """A checkpoint that points past what is there, with a sound checksum, has all sent again."""
    path = left_behind(tmp_path)
    place = ((1 << 32) + 999_999).to_bytes(8, "little")
    (path / "acked").write_bytes(place + crc32(place).to_bytes(4, "little"))

    assert status_of(path).events == 3


def test_a_frame_that_claims_to_be_huge_takes_no_memory(tmp_path: Path) -> None:
    """A length that no setting allows is damage, though its checksum is sound."""
    path = left_behind(tmp_path)
    [(_, file)] = segments(path)
    content = bytearray(frame(0, b"s", b""))
    content[12:16] = (0xFFFF_FFFF).to_bytes(4, "little")
    content[18:22] = crc32(content[4:18]).to_bytes(4, "little")
    file.write_bytes(content)
    with file.open("ab") as end:
        end.truncate(1 << 28)

    assert status_of(path).events == 0
