"""The journal of `trailhouse emit`."""

import datetime as dt
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.cli.emit.journal import Earlier, EmitJournal, Planned, State, digest_of
from trailhouse.cli.emit.lines import this_process
from trailhouse.schemas.errors import JournalError
from trailhouse.schemas.uuid7 import uuid7

NOW = dt.datetime(2026, 11, 28, 8, 0, 3, 123_456, tzinfo=dt.UTC)


def opened(file: Path) -> EmitJournal:
    """Open a journal for one more run, as `emit` does."""
    journal = EmitJournal(file, this_process("tests"), is_synced=False)
    if journal.has_lines:
        journal.prepare()
    return journal


def planned(name: str, earlier: Earlier | None = None) -> Planned:
    """Return a plan for the line *name*."""
    event_id = uuid7() if earlier is None else earlier.event_id
    return Planned(digest_of(name.encode()), event_id, NOW, 7, earlier.line if earlier else None)


def taken(journal: EmitJournal, names: list[str]) -> list[Earlier | None]:
    """Return what is known of lines with these *names*, met in this order."""
    return [journal.take(digest_of(name.encode())) for name in names]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the journal is."""
    return tmp_path / "journal.sqlite"


def test_a_line_keeps_its_id_time_and_source(file: Path) -> None:
    """What was planned is there in the next run, to the microsecond, with who met the line first."""
    first = opened(file)
    [plan] = plans = [planned("a")]
    first.plan(plans)
    source = this_process("tests")
    first.close()
    for _ in range(2):
        journal = opened(file)
        [earlier] = taken(journal, ["a"])
        assert earlier is not None
        assert (earlier.event_id, earlier.occurred_at) == (plan.event_id, NOW)
        assert earlier.source is not None
        assert (earlier.source.seq, earlier.source.pid) == (7, source.pid)
        assert earlier.state is State.PLANNED
        journal.plan([planned("a", earlier)])
        journal.close()


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_as_many_lines_are_known_as_there_were(before: list[str], after: list[str]) -> None:
    """However lines are moved, each that was there is known once, and what is more of a kind is new."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = opened(Path(folder) / "journal.sqlite")
        journal.plan([planned(name) for name in before])
        journal.close()
        journal = opened(Path(folder) / "journal.sqlite")
        known = Counter(
            name for name, earlier in zip(after, taken(journal, after), strict=True) if earlier
        )
        journal.close()
    assert known == Counter(before) & Counter(after)


def test_what_a_run_adds_is_new_to_it(file: Path) -> None:
    """A line that stands twice in one input is two events."""
    journal = opened(file)
    for _ in range(2):
        assert taken(journal, ["a", "a"]) == [None, None]
        journal.plan([planned("a"), planned("a")])
    journal.close()
    journal = opened(file)
    found = [each.event_id for each in taken(journal, ["a"] * 5) if each is not None]
    assert len(set(found)) == 4


def test_what_was_sent_before_an_event_that_waits_is_acknowledged(file: Path) -> None:
    """A spool is emptied in order; what is behind, or of a run of which nothing waits, is sent again by its id."""
    journal = opened(file)
    first = [planned(name) for name in "ab"]
    journal.plan(first)
    journal.close()
    journal = opened(file)
    second = [planned(name) for name in "cdef"]
    journal.plan(second)
    journal.close()
    for is_in_order, of_c in ((False, State.PLANNED), (True, State.ACKNOWLEDGED)):
        journal = opened(file)
        assert journal.resolve([second[1].event_id, uuid7()], is_in_order=is_in_order) == 1
        states = [earlier.state if earlier else None for earlier in taken(journal, list("abcdef"))]
        planned_ = State.PLANNED
        assert states == [planned_, planned_, of_c, State.WAITS, planned_, planned_]
        assert journal.count_waiting([]) == 0
        assert journal.count_waiting([second[1].event_id]) == 1
        journal.close()
    journal = opened(file)
    journal.acknowledge_waiting()
    [earlier] = taken(journal, ["d"])
    assert earlier is not None
    assert earlier.state is State.ACKNOWLEDGED


def test_an_acknowledgement_counts_for_its_own_topic(file: Path) -> None:
    """What another cluster or an older topic has is to be sent, with the same id; where nobody knows, it is not."""
    journal = opened(file)
    journal.set_origin("cluster", "topic-1")
    [line] = journal.plan([planned("a")])
    journal.acknowledge(line)
    journal.close()
    expected = {"topic-1": State.ACKNOWLEDGED, "topic-2": State.PLANNED, None: State.ACKNOWLEDGED}
    for topic_id, state in expected.items():
        journal = opened(file)
        if topic_id is not None:
            journal.set_origin("cluster", topic_id)
        [earlier] = taken(journal, ["a"])
        assert earlier is not None
        assert earlier.state is state
        journal.close()


def test_a_second_run_is_refused_at_once(file: Path) -> None:
    """While a run has the journal no other gets it, and that says what it is."""
    first = opened(file)
    with pytest.raises(JournalError, match="another `trailhouse emit` of this input") as caught:
        opened(file)
    assert caught.value.is_in_use
    first.close()
    opened(file).close()


def test_a_kill_leaves_what_was_planned(file: Path, tmp_path: Path) -> None:
    """Without being closed, a journal has all that `plan` returned for."""
    journal = opened(file)
    journal.plan([planned("a")])
    copy = tmp_path / "copy.sqlite"
    for end in ("", "-wal"):
        Path(f"{copy}{end}").write_bytes(Path(f"{file}{end}").read_bytes())
    assert taken(opened(copy), ["a"]) != [None]
    journal.close()


def test_lines_are_looked_up_by_an_index(file: Path) -> None:
    """Millions of lines are known again without reading them all for each; a new one costs no place in the index."""
    journal = opened(file)
    journal.plan([planned("a")])
    journal.close()
    opened(file).close()
    with sqlite3.connect(file) as database:
        run = int(database.execute("SELECT max(run) FROM runs").fetchone()[0])
        sql = f"SELECT line FROM lines WHERE hash = ? AND run < {run} AND line > ? ORDER BY line LIMIT 1"
        steps = database.execute(f"EXPLAIN QUERY PLAN {sql}", (b"", 0)).fetchall()
    database.close()
    assert [step[3] for step in steps] == ["SEARCH lines USING INDEX by_hash (hash=? AND rowid>?)"]
