"""`verify` in several processes: it finds what one finds, ends with its run, and says what became of a process."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.duties.leaves import tails
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.rows import processes as row_processes
from trailhouse.operate.verify.rows.processes import RowReaders
from trailhouse.operate.verify.rows.stream import Wanted
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import StorageRejectedError, StorageUnavailableError
from trailhouse.store import ClickHouseConfig
from verified_log import VerifiedLog

pytestmark = pytest.mark.cluster

SYNC = "SETTINGS mutations_sync = 2"
ATTACKS = (
    f"ALTER TABLE event_log UPDATE tool_name = 'delete' WHERE kafka_offset = 3 {SYNC}",
    f"ALTER TABLE event_log UPDATE record = replaceOne(record, 'search', 'delete') WHERE kafka_offset = 9 {SYNC}",
    f"ALTER TABLE event_log UPDATE record = '' WHERE kafka_offset = 12 {SYNC}",
    f"ALTER TABLE event_log UPDATE record = 'no event' WHERE kafka_offset = 15 {SYNC}",
    f"ALTER TABLE event_log DELETE WHERE kafka_offset = 30 {SYNC}",
    "INSERT INTO event_log SELECT * REPLACE (kafka_offset + 1000 AS kafka_offset) FROM event_log"
    " WHERE kafka_offset = 4",
)


@pytest.fixture
def log(database: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[VerifiedLog]:
    """Return a proven log of 60 events in 20 sessions; few as they are, processes look at them."""
    monkeypatch.setattr(tails, "SIGNED_WITHIN_SECONDS", 0.0)
    monkeypatch.setattr(row_processes, "ROWS_FOR_PROCESSES", 1)
    made = VerifiedLog(database)
    events = [
        AuditEvent(type="note", session_id=f"sitzung-ü{place % 20}", data={"tool_name": "search"})
        for place in range(60)
    ]
    made.append([event.record for event in events])
    with made.clickhouse:
        yield made


def told(report: Report) -> set[tuple[str, str, str, int]]:
    """Return all that *report* has found, and where."""
    return {(each.duty, each.kind, str(each.place), each.count) for each in report.findings}


def children() -> set[int]:
    """Return the processes that this one has started and that are there."""
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(number) for each in found for number in each.read_text().split()}


@pytest.mark.long
def test_processes_find_what_one_finds(log: VerifiedLog) -> None:
    """An intact log is intact, with as much looked at; what is changed is found at the same places; none is left."""
    before = children()
    intact = log.verify(jobs=3)
    assert intact.verdict is Outcome.INTACT, intact
    amounts = [each.checked for each in log.verify().duties]
    assert [each.checked for each in intact.duties] == amounts
    for sql in ATTACKS:
        log.attack(sql)
    expected = told(log.verify())
    assert {kind for _, kind, *_ in expected} >= {"columns", "record_gone", "no_event", "blanked"}
    assert told(log.verify(jobs=3)) == expected
    assert children() == before, "expected every process to have ended"


def test_one_process_that_dies_makes_no_verdict(
    log: VerifiedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows were not looked at: that could not be checked, and the reason names the way out."""
    monkeypatch.setattr(row_processes, "MODULE", "trailhouse.no_such_module")
    report = log.verify(jobs=2)
    assert report.verdict is Outcome.COULD_NOT_CHECK
    reasons = {reason for duty in report.duties for reason in duty.reasons}
    assert any("--jobs 1" in reason for reason in reasons), reasons


def test_what_clickhouse_refuses_a_process_is_raised(log: VerifiedLog) -> None:
    """As where this process asks it, with ClickHouse's own number."""
    readers = RowReaders(2)
    wanted = Wanted("throwIf(length(record) > 0, 'no') = 0", {})
    with pytest.raises(StorageRejectedError) as raised:
        list(readers.rows_of(log.clickhouse, wanted, 60))
    assert raised.value.code == 395


def test_reading_that_is_ended_leaves_no_process(log: VerifiedLog) -> None:
    """Neither where nobody takes the rest, nor where the run is ended, nor where a process is killed."""
    before = children()
    rows = cast("Any", RowReaders(2).rows_of(log.clickhouse, Wanted("true", {}), 60))
    with closing(rows):
        next(rows)
        assert children() > before
    assert children() == before, "expected the processes to end with the reading"

    def ended() -> None:
        raise StorageUnavailableError("the run was ended")

    with pytest.raises(StorageUnavailableError, match="was ended"):
        list(RowReaders(2, ended).rows_of(log.clickhouse, Wanted("true", {}), 60))
    assert children() == before

    # They are killed while they start, which takes them longer than it takes to look for them.
    killed = RowReaders(2, lambda: kill_all(children() - before))
    with pytest.raises(CannotCheckError, match="--jobs 1"):
        list(killed.rows_of(log.clickhouse, Wanted("true", {}), 60))
    assert children() == before


def kill_all(processes: set[int]) -> None:
    """End *processes* as the kernel does where memory is short."""
    for each in processes:
        os.kill(each, signal.SIGKILL)
