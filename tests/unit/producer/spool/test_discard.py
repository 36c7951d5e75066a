"""Spools that are dropped: what is in them is in a file first, and what is not asked for stays."""

from pathlib import Path

import pytest

from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.discard import discard
from trailhouse.producer.spool.root import folders
from trailhouse.producer.spool.status import spools_status
from trailhouse.schemas import KafkaConfig, decode

AWAY = KafkaConfig(bootstrap_servers="127.0.0.1:1")


def logger(root: Path) -> AuditLogger:
    """Return a logger that reaches no broker."""
    return AuditLogger(ProducerConfig(kafka=AWAY, spool_dir=str(root)))


def left_behind(root: Path, count: int) -> str:
    """Leave *count* events in a spool under *root*; return its name."""
    known = folders(root)
    audit = logger(root)
    for number in range(count):
        audit.log("tick", session_id="s", data={"n": number})
    audit.close(0.0)
    [path] = set(folders(root)) - set(known)
    return path.name


def test_what_is_dropped_is_written_first(tmp_path: Path) -> None:
    """The named spools are removed, and their exact records are in the file, in order."""
    root, output = tmp_path / "spool", tmp_path / "dropped.jsonl"
    names = [left_behind(root, 3), left_behind(root, 2)]
    kept = left_behind(root, 1)
    found = discard(root, names, output)

    assert (found.spools, found.events, found.left) == (tuple(names), 5, ())
    records = output.read_bytes().splitlines()
    assert [decode(record).data["n"] for record in records] == [0, 1, 2, 0, 1]
    assert [path.name for path in folders(root)] == [kept]
    assert output.stat().st_mode & 0o777 == 0o600


def test_a_spool_in_use_is_not_dropped(tmp_path: Path) -> None:
    """The spool of a running logger, and one that is not there, are named and nothing is done to them."""
    root = tmp_path / "spool"
    audit = logger(root)
    audit.log("tick", session_id="s")
    [path] = folders(root)
    found = discard(root, [path.name, "no-such-spool"], tmp_path / "dropped.jsonl")

    assert found.left == (path.name, "no-such-spool")
    assert [each.events for each in spools_status(root).spools] == [1]
    audit.close(0.0)


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """A file of that name, or a link, ends it before anything is read or removed."""
    root, output = tmp_path / "spool", tmp_path / "dropped.jsonl"
    name = left_behind(root, 1)
    output.write_text("mine")
    with pytest.raises(FileExistsError):
        discard(root, [name], output)

    assert output.read_text() == "mine"
    assert [path.name for path in folders(root)] == [name]
