"""Exports against the real engine: what a filter finds, each once, to the byte; cut off anywhere, and checked alone."""

import csv
import datetime as dt
import errno
import io
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow.ipc
import pyarrow.parquet
import pytest

from stored import block_of, event, in_order, store
from trailhouse.query import AuditReader, ClickHouseConfig, ExportError, QueryError, check_export
from trailhouse.query.export import folder as folder_module
from trailhouse.schemas import AuditEvent, decode
from trailhouse.store import ClickHouse
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    " =cmd|' /C calc'!A0",
    "＝1",
    "\r=1",
    "\u3000=1",
    "\xa0-1",
)
ODD = ("plain", "with,comma", 'with"quote', "line\nbreak", "nul\x00", "\x02\x01", "雪", *FORMULAS)


def _day(number: int) -> dt.datetime:
    return dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC) + dt.timedelta(number)


def _events() -> list[AuditEvent]:
    usual = [
        event(
            f"s-{number % 40:02d}",
            type="run_failed" if number % 5 == 0 else "message_sent",
            tenant_id=("a", "b", None)[number % 3],
            occurred_at=_day(number % 9 * 2),
            data={"n": number, "text": "word " * (number % 7)},
        )
        for number in range(900)
    ]
    odd = [event(text, agent_id=text, occurred_at=_day(3), data={"text": text}) for text in ODD]
    return [*usual, *odd]


EVENTS = _events()
SPREAD = (
    f'{{"type":"custom.type","session_id":"spread",\n "event_id":"{uuid.uuid4()}",'
    '"occurred_at":"2026-03-04T00:00:00Z","schema_version":1}'
)


@pytest.fixture(scope="module")
def filled(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database with the events, a third of them stored twice."""
    placed = in_order(EVENTS)
    store(database_of_module, placed)
    store(database_of_module, placed[::3])
    store(database_of_module, in_order(EVENTS[:100], first_offset=5_000))
    return database_of_module


@pytest.fixture
def reader(filled: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=filled) as opened:
        yield opened


def lines_of(folder: Path) -> list[bytes]:
    """Return the lines of all files, in order."""
    files = sorted(folder.glob("events-*.jsonl"))
    return [line for file in files for line in file.read_bytes().split(b"\n")[:-1]]


def test_json_lines_are_the_records(reader: AuditReader, tmp_path: Path) -> None:
    """Every event once, to the byte, each session in append order; counted by file and by day, zeros too."""
    manifest = reader.export(tmp_path / "e", rows_per_file=200)
    lines = lines_of(tmp_path / "e")
    assert sorted(lines) == sorted(each.record for each in EVENTS)
    for session in {each.session_id for each in EVENTS}:
        assert [line for line in lines if decode(line).session_id == session] == [
            each.record for each in EVENTS if each.session_id == session
        ]
    assert len(manifest.files) > 3
    assert manifest.rows == len(EVENTS) == sum(each.rows for each in manifest.files)
    by_day = {str(_day(number).date()): 0 for number in range(17)}
    for each in EVENTS:
        by_day[str(each.occurred_at.date())] += 1
    assert manifest.days == by_day
    assert 0 in manifest.days.values()
    assert manifest.as_of == {"topic-1:0": 5_099}
    assert check_export(tmp_path / "e").problems == ()


def test_a_filter_and_a_tenant_choose_what_is_exported(
    filled: ClickHouseConfig, tmp_path: Path
) -> None:
    """A reader of one tenant exports nothing of another's; the manifest says what was asked."""
    with AuditReader("a", config=filled, principal="auditor") as reader:
        manifest = reader.export(tmp_path / "e", "type:run_failed word")
    wanted = [
        each.record
        for each in EVENTS
        if each.type == "run_failed" and each.tenant_id == "a" and "word" in str(each.data)
    ]
    assert sorted(lines_of(tmp_path / "e")) == sorted(wanted)
    assert (manifest.query, manifest.tenant_id, manifest.principal) == (
        "type:run_failed word",
        "a",
        "auditor",
    )


def test_two_exports_of_one_question_hold_the_same_lines(
    reader: AuditReader, filled: ClickHouseConfig, tmp_path: Path
) -> None:
    """Events stored again, and merges, move nothing; what is appended meanwhile is not in it."""
    first = reader.export(tmp_path / "one", rows_per_file=300)
    store(filled, in_order(EVENTS))
    with ClickHouse(filled) as clickhouse:
        clickhouse.command("OPTIMIZE TABLE event_log FINAL")
    second = reader.export(tmp_path / "two", rows_per_file=300)
    assert lines_of(tmp_path / "one") == lines_of(tmp_path / "two")
    assert first.days == second.days


def test_a_spreadsheet_runs_no_cell(reader: AuditReader, tmp_path: Path) -> None:
    """Text that begins like a formula has an apostrophe before it, and the manifest says so."""
    manifest = reader.export(tmp_path / "e", format="csv")
    [file] = (tmp_path / "e").glob("events-*.csv")
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert manifest.guarded_cells
    assert sorted(row["event_id"] for row in rows) == sorted(each.event_id for each in EVENTS)
    for row in rows:
        assert not any(cell.strip()[:1] in set("=+-@＝＋－＠") for cell in row.values() if cell)
    found = {row["event_id"]: row for row in rows}
    for each in EVENTS:
        row = found[each.event_id]
        assert row["session_id"].removeprefix("'") == each.session_id
        assert json.loads(row["data"]) == each.data


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_columns_hold_the_records_too(reader: AuditReader, tmp_path: Path, format: str) -> None:
    """Parquet and Arrow files hold every event once, its record to the byte, and say which rows were altered."""
    reader.export(tmp_path / "e", format=format, rows_per_file=400)
    read = pyarrow.parquet.read_table if format == "parquet" else _read_arrow
    tables = [read(file) for file in sorted((tmp_path / "e").glob(f"events-*.{format}"))]
    records = [record for table in tables for record in table["record"].to_pylist()]
    assert sorted(record.encode() for record in records) == sorted(each.record for each in EVENTS)
    assert {each for table in tables for each in table["is_altered"].to_pylist()} == {False}
    assert len(tables) > 1
    assert check_export(tmp_path / "e").problems == ()


def _read_arrow(file: Path) -> pyarrow.Table:
    with pyarrow.ipc.open_file(file) as opened:
        return opened.read_all()


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_stream_gets_all_as_one(reader: AuditReader, format: str) -> None:
    """Standard output and the like get the whole answer, once, whichever the format."""
    stream = io.BytesIO()
    manifest = reader.export(stream, format=format, rows_per_file=100)
    content = stream.getvalue()
    assert manifest.rows == len(EVENTS)
    assert manifest.files[0].size_bytes == len(content)
    if format == "jsonl":
        assert sorted(content.split(b"\n")[:-1]) == sorted(each.record for each in EVENTS)
    elif format == "csv":
        assert len(list(csv.DictReader(io.StringIO(content.decode(), newline="")))) == len(EVENTS)
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(content)).num_rows == len(EVENTS)


def test_an_export_goes_on_where_the_disk_was_full(
    reader: AuditReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in any file, the same call writes what is missing, as of when it began; another question is refused."""
    whole = reader.export(tmp_path / "whole", rows_per_file=200)
    target = tmp_path / "cut"
    made = folder_module.ExportFolder.write
    for number in range(1, len(whole.files) + 1):

        def full_disk(
            self: folder_module.ExportFolder, name: str, pieces: Iterator[bytes], at: int = number
        ) -> tuple[int, str]:
            if name == f"events-{at:05d}.jsonl":
                (self.path / f"unfinished-{name}").write_bytes(next(iter(pieces))[:100])
                raise ExportError("the disk is full") from OSError(errno.ENOSPC, "no space")
            return made(self, name, pieces)

        monkeypatch.setattr(folder_module.ExportFolder, "write", full_disk)
        with pytest.raises(ExportError):
            reader.export(target, rows_per_file=200)
        with pytest.raises(ExportError, match="no whole export"):
            check_export(target)
    monkeypatch.undo()
    if len(whole.files) > 1:
        with pytest.raises(QueryError, match="another question"):
            reader.export(target, "type:run_failed", rows_per_file=200)
    resumed = reader.export(target, rows_per_file=200)
    assert [each.sha256 for each in resumed.files] == [each.sha256 for each in whole.files]
    assert check_export(target).problems == ()
    assert {each.name for each in target.iterdir()} == {
        "manifest.json",
        *(each.name for each in resumed.files),
    }
    with pytest.raises(QueryError, match="holds an export already"):
        reader.export(target)


def test_two_files_are_written_at_a_time(
    reader: AuditReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first waits here until the second was begun; the manifest has them in the order of their sessions."""
    has_begun = threading.Event()
    made = folder_module.ExportFolder.write

    def write(
        self: folder_module.ExportFolder, name: str, pieces: Iterator[bytes]
    ) -> tuple[int, str]:
        if name == "events-00002.jsonl":
            has_begun.set()
        elif name == "events-00001.jsonl":
            assert has_begun.wait(DEADLINE_SECONDS), "the second file waits for the first"
        return made(self, name, pieces)

    monkeypatch.setattr(folder_module.ExportFolder, "write", write)
    files = reader.export(tmp_path / "e", rows_per_file=200).files
    assert [each.name for each in files] == [
        f"events-{place:05d}.jsonl" for place in range(1, len(files) + 1)
    ]
    ends = [each.last_session for each in files[:-1]]
    assert ends == sorted(ends, key=str)
    assert sum(each.rows for each in files) == len(EVENTS)


def test_a_folder_that_is_not_an_exports_is_left_alone(reader: AuditReader, tmp_path: Path) -> None:
    """Files of somebody else are neither mixed with ours nor removed."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(QueryError, match="not empty"):
        reader.export(tmp_path)
    with pytest.raises(ExportError, match="cannot be written"):
        reader.export(tmp_path / "mine.txt" / "e")
    with pytest.raises(QueryError, match="format: must be one of"):
        reader.export(tmp_path / "e", format="xls")


def test_what_no_line_can_hold_is_told(database: ClickHouseConfig, tmp_path: Path) -> None:
    """A record with line breaks between its values is written with blanks, an altered row is left out: both counted."""
    good, bad, spread = event("s"), event("s"), decode(SPREAD.encode())
    store(database, in_order([good, bad, spread]))
    with ClickHouse(database) as clickhouse:
        clickhouse.insert(block_of(in_order([good])))
        clickhouse.command(
            "ALTER TABLE event_log UPDATE record = replaceOne(record, 'message_sent', 'message_lost')"
            " WHERE event_id = {id:UUID} SETTINGS mutations_sync = 2",
            {"id": bad.event_id},
        )
    with AuditReader(config=database) as reader:
        manifest = reader.export(tmp_path / "e")
        assert (manifest.rows, manifest.respelled, manifest.altered) == (2, 1, 1)
        assert sorted(lines_of(tmp_path / "e")) == sorted(
            [good.record, SPREAD.replace("\n", " ").encode()]
        )
        assert check_export(tmp_path / "e").problems == ()


def test_an_export_of_nothing_is_whole(database: ClickHouseConfig, tmp_path: Path) -> None:
    """No event is an answer too: a manifest, a file without a line."""
    with AuditReader(config=database) as reader:
        manifest = reader.export(tmp_path / "e")
    assert (manifest.rows, manifest.days, manifest.files[0].size_bytes) == (0, {}, 0)
    assert check_export(tmp_path / "e").problems == ()
