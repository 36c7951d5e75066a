"""The journal of `trailhouse emit`: which line of an input became which event, and what became of it.

A line is known again by its bytes and by how many lines like it came before, so an input may grow or
be edited between two runs. The journal is an SQLite file that is locked while a run uses it, and each
line is in it before its event is sent: a kill at any instant leaves nothing that is not known.
"""

import datetime as dt
import hashlib
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from trailhouse.schemas.errors import JournalError
from trailhouse.schemas.ranges import Ranges
from trailhouse.schemas.record import Source

_HASH_BYTES = 16
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_UNKNOWN_ORIGIN = 0
_NO_SEQ = -1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS runs (
        run INTEGER PRIMARY KEY, producer_id TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL,
        service TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS origins (
        origin INTEGER PRIMARY KEY, cluster TEXT NOT NULL, topic_id TEXT NOT NULL, UNIQUE (cluster, topic_id)
    )""",
    """CREATE TABLE IF NOT EXISTS lines (
        line INTEGER PRIMARY KEY, hash BLOB NOT NULL, event_id BLOB NOT NULL, occurred_us INTEGER NOT NULL,
        run INTEGER NOT NULL, seq INTEGER NOT NULL, sent_by INTEGER NOT NULL, sent INTEGER NOT NULL,
        state INTEGER NOT NULL DEFAULT 0, origin INTEGER NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE IF NOT EXISTS unsealed (
        run INTEGER, seq INTEGER, line INTEGER NOT NULL, record_hash BLOB NOT NULL, PRIMARY KEY (run, seq)
    ) WITHOUT ROWID""",
    "CREATE TEMP TABLE spooled (event_id BLOB PRIMARY KEY) WITHOUT ROWID",
)


class State(IntEnum):
    """What is known of a line's event: to be sent; in a spool; acknowledged by the broker."""

    PLANNED = 0
    WAITS = 1
    ACKNOWLEDGED = 2


class Earlier(NamedTuple):
    """What an earlier run has made of a line: the same id, time and source give the same bytes."""

    line: int
    state: State
    event_id: str
    occurred_at: dt.datetime
    source: Source | None


class Planned(NamedTuple):
    """A line whose event is about to be sent; `earlier` is its number in the journal, if it has one.

    `record_hash` is the SHA-256 of a record whose number is ours and is to be sealed, else None.
    """

    digest: bytes
    event_id: str
    occurred_at: dt.datetime
    seq: int | None
    earlier: int | None
    record_hash: bytes | None = None


class UnsealedLine(NamedTuple):
    """A record that no seal names yet; `state` is None where its line was refused or forgotten."""

    seq: int
    record_hash: bytes
    state: State | None


def digest_of(content: bytes) -> bytes:
    """Return what a line's bytes are known by."""
    return hashlib.blake2b(content, digest_size=_HASH_BYTES).digest()


class EmitJournal:
    """One input to one destination; made by `opened`, and used by one thread.

    Args:
        file: The SQLite file.
        source: Who sends in this run; a line's event names whoever met it first.
        is_synced: Whether what is noted survives a power cut.

    Raises:
        JournalError: Another run uses it (retriable), or it cannot be read or written.
    """

    def __init__(self, file: Path, source: Source, *, is_synced: bool) -> None:
        self.file = file
        try:
            # No waiting for a lock: a run may take hours. No transactions that the module begins by itself.
            self._database = sqlite3.connect(file, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise _failure(file, error) from error
        try:
            self._open(source, is_synced=is_synced)
        except BaseException:
            self._database.close()
            raise

    def _open(self, source: Source, *, is_synced: bool) -> None:
        # Exclusive: a second run is refused at once, and no file of shared memory is needed.
        self._execute("PRAGMA locking_mode = EXCLUSIVE")
        self._execute("PRAGMA journal_mode = WAL")
        self._execute(f"PRAGMA synchronous = {'FULL' if is_synced else 'OFF'}")
        for table in _TABLES:
            self._execute(table)
        self._execute("BEGIN IMMEDIATE")
        self.run = int(self._one("SELECT coalesce(max(run), 0) + 1 FROM runs"))
        self._execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
            (self.run, source.producer_id, source.host, source.pid, source.service),
        )
        self._execute("COMMIT")
        self._sources = {
            run: (producer_id, host, pid, service)
            for run, producer_id, host, pid, service in self._execute("SELECT * FROM runs")
        }
        self._next_line = int(self._one("SELECT coalesce(max(line), 0) + 1 FROM lines"))
        self._next_sent = int(self._one("SELECT coalesce(max(sent), 0) + 1 FROM lines"))
        self._origin = _UNKNOWN_ORIGIN
        self._acknowledged: list[int] = []
        self._met = bytearray()
        self._passed: dict[bytes, int] = {}

    @property
    def has_lines(self) -> bool:
        """Whether earlier runs have noted any line."""
        return self._next_line > 1

    def forget(self) -> None:
        """Begin anew: every line is new, whatever became of it before."""
        self._execute("DELETE FROM lines")
        self._next_line = 1

    def close(self) -> None:
        """Note what was acknowledged and let go of the file."""
        try:
            self.note()
        finally:
            self._database.close()

    def set_origin(self, cluster: str, topic_id: str) -> None:
        """Say which topic of which cluster it is: what another one acknowledged is not in this one."""
        key = (cluster, topic_id)
        self._execute("INSERT OR IGNORE INTO origins (cluster, topic_id) VALUES (?, ?)", key)
        self._origin = int(
            self._one("SELECT origin FROM origins WHERE cluster = ? AND topic_id = ?", key)
        )

    @property
    def has_unsettled(self) -> bool:
        """Whether there are lines that are not known to be acknowledged."""
        sql = "SELECT EXISTS (SELECT 1 FROM lines WHERE state < ?)"
        return bool(self._one(sql, (State.ACKNOWLEDGED,)))

    def resolve(self, spooled: Iterable[str], *, is_in_order: bool) -> int:
        """Find out what became of what earlier runs left open; return how many wait in a spool.

        What is in no spool was acknowledged and not noted, or never sent; it is sent again with its
        id, which readers see once. A spool is emptied in order: what the same run sent before an
        event that still waits has been acknowledged, unless the broker has refused some.

        Args:
            spooled: The ids of the events in all spools.
            is_in_order: Whether no spool has been passed over in parts.
        """
        self._execute("BEGIN")
        self._fill(spooled)
        # Forget what waited the last time, then mark what waits now.
        self._execute("UPDATE lines SET state = ? WHERE state = ?", (State.PLANNED, State.WAITS))
        self._execute(
            "UPDATE lines SET state = ? WHERE state = ? AND event_id IN (SELECT event_id FROM spooled)",
            (State.WAITS, State.PLANNED),
        )
        first_waiting = self._execute(
            "SELECT sent_by, min(sent) FROM lines WHERE state = ? GROUP BY sent_by", (State.WAITS,)
        ).fetchall()
        if is_in_order:
            self._execute_many(
                "UPDATE lines SET state = ? WHERE state = ? AND sent_by = ? AND sent < ?",
                [(State.ACKNOWLEDGED, State.PLANNED, *each) for each in first_waiting],
            )
        self._execute("COMMIT")
        return int(self._one("SELECT count(*) FROM lines WHERE state = ?", (State.WAITS,)))

    def count_waiting(self, spooled: Iterable[str]) -> int:
        """Return how many of the events that waited in spools are among *spooled*."""
        self._execute("BEGIN")
        self._fill(spooled)
        self._execute("COMMIT")
        sql = "SELECT count(*) FROM lines WHERE state = ? AND event_id IN (SELECT event_id FROM spooled)"
        return int(self._one(sql, (State.WAITS,)))

    def _fill(self, spooled: Iterable[str]) -> None:
        self._execute("DELETE FROM spooled")
        self._execute_many(
            "INSERT OR IGNORE INTO spooled VALUES (?)", ((_key(each),) for each in spooled)
        )

    def prepare(self) -> None:
        """Make ready to know lines again; may take some seconds for millions of them."""
        # Of the earlier runs alone: what this one adds is written in order, and asked for by none.
        self._execute("DROP INDEX IF EXISTS by_hash")
        self._execute(f"CREATE INDEX by_hash ON lines (hash) WHERE run < {self.run}")
        self._met = bytearray(self._next_line // 8 + 1)

    def take(self, digest: bytes) -> Earlier | None:
        """Return what became of the first line of this *digest* that this run has not met, and meet it."""
        after = self._passed.get(digest, 0)
        while self._met and (row := self._first_after(digest, after)) is not None:
            line, event_id, occurred_us, run, seq, state, origin = row
            # A bit a line: millions of lines cost some hundred kilobytes.
            if self._met[line >> 3] & 1 << (line & 7):
                self._passed[digest] = after = line
                continue
            self._met[line >> 3] |= 1 << (line & 7)
            is_elsewhere = origin not in {_UNKNOWN_ORIGIN, self._origin} and self._origin
            return Earlier(
                line,
                # What another topic acknowledged is not in this one: it is to be sent here.
                State.PLANNED if state == State.ACKNOWLEDGED and is_elsewhere else State(state),
                str(uuid.UUID(bytes=event_id)),
                _EPOCH + occurred_us * _MICROSECOND,
                None if seq == _NO_SEQ else self._source(run, seq),
            )
        return None

    def _first_after(
        self, digest: bytes, line: int
    ) -> tuple[int, bytes, int, int, int, int, int] | None:
        found = self._execute(
            "SELECT line, event_id, occurred_us, run, seq, state, origin FROM lines"  # noqa: S608 - a number of ours
            f" WHERE hash = ? AND run < {self.run} AND line > ? ORDER BY line LIMIT 1",
            (digest, line),
        ).fetchone()
        return None if found is None else tuple(found)

    def _source(self, run: int, seq: int) -> Source:
        producer_id, host, pid, service = self._sources[run]
        return Source(host=host, pid=pid, producer_id=producer_id, seq=seq, service=service)

    def plan(self, planned: Sequence[Planned]) -> list[int]:
        """Note what is about to be sent; on return a kill cannot give any of it another id.

        Returns the number of each in the journal, for `acknowledge`.
        """
        numbers: list[int] = []
        new: list[tuple[Any, ...]] = []
        again: list[tuple[int, ...]] = []
        unsealed: list[tuple[int, int, int, bytes]] = []
        for each in planned:
            sent, self._next_sent = self._next_sent, self._next_sent + 1
            if each.earlier is not None:
                again.append((self.run, sent, State.PLANNED, each.earlier))
                numbers.append(each.earlier)
                continue
            numbers.append(self._next_line + len(new))
            seq = _NO_SEQ if each.seq is None else each.seq
            if each.record_hash is not None:
                unsealed.append((self.run, seq, numbers[-1], each.record_hash))
            occurred_us = (each.occurred_at - _EPOCH) // _MICROSECOND
            stamped = (numbers[-1], each.digest, _key(each.event_id), occurred_us)
            new.append((*stamped, self.run, seq, self.run, sent))
        self._execute("BEGIN")
        self._execute_many(
            "UPDATE lines SET sent_by = ?, sent = ?, state = ? WHERE line = ?", again
        )
        self._execute_many(
            "INSERT INTO lines (line, hash, event_id, occurred_us, run, seq, sent_by, sent)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            new,
        )
        self._execute_many("INSERT INTO unsealed VALUES (?, ?, ?, ?)", unsealed)
        self._write_acknowledged()
        self._execute("COMMIT")
        self._next_line += len(new)
        return numbers

    def unsealed_runs(self, service: str) -> list[int]:
        """Return the runs of *service* that have made records which no seal names."""
        sql = "SELECT run FROM runs WHERE service = ? AND run IN (SELECT run FROM unsealed) ORDER BY run"
        return [int(run) for (run,) in self._execute(sql, (service,)).fetchall()]

    def unsealed(self, run: int, limit: int) -> list[UnsealedLine]:
        """Return the first *limit* of these, by number."""
        rows = self._execute(
            "SELECT u.seq, u.record_hash, l.state FROM unsealed u LEFT JOIN lines l"
            " ON l.line = u.line AND l.run = u.run AND l.seq = u.seq WHERE u.run = ? ORDER BY u.seq LIMIT ?",
            (run, limit),
        ).fetchall()
        return [
            UnsealedLine(seq, record_hash, None if state is None else State(state))
            for seq, record_hash, state in rows
        ]

    def forget_unsealed(self, run: int, last_seq: int) -> None:
        """Note that seals name the records of *run* up to *last_seq*."""
        self._execute("DELETE FROM unsealed WHERE run = ? AND seq <= ?", (run, last_seq))

    def producer_id(self, run: int) -> str:
        """Return what the records of *run* name as their producer."""
        return str(self._sources[run][0])

    def drop(self, line: int) -> None:
        """Forget a line whose event was refused: the next run tries it again."""
        self._execute("DELETE FROM lines WHERE line = ?", (line,))

    def acknowledge(self, line: int) -> None:
        """Remember that the broker has the event of *line*; on the disk with the next `plan` or `note`."""
        self._acknowledged.append(line)

    def acknowledge_waiting(self) -> None:
        """Note that what waited in spools has been acknowledged."""
        self._execute(
            "UPDATE lines SET state = ?, origin = ? WHERE state = ?",
            (State.ACKNOWLEDGED, self._origin, State.WAITS),
        )

    def note(self) -> None:
        """Write what was acknowledged."""
        if self._acknowledged:
            self._execute("BEGIN")
            self._write_acknowledged()
            self._execute("COMMIT")

    def _write_acknowledged(self) -> None:
        # Taken before the write: should that fail they count as open, and are sent again with their ids.
        lines, self._acknowledged = self._acknowledged, []
        self._execute_many(
            "UPDATE lines SET state = ?, origin = ? WHERE line BETWEEN ? AND ?",
            [(State.ACKNOWLEDGED, self._origin, *part) for part in Ranges.of(lines)],
        )

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._database.execute(sql, values)
        except sqlite3.Error as error:
            raise _failure(self.file, error) from error

    def _execute_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        try:
            self._database.executemany(sql, values)
        except sqlite3.Error as error:
            raise _failure(self.file, error) from error

    def _one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        return self._execute(sql, values).fetchone()[0]


def _key(event_id: str) -> bytes:
    return bytes.fromhex(event_id.replace("-", ""))


def _failure(file: Path, error: sqlite3.Error) -> JournalError:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return JournalError(
            "another `trailhouse emit` of this input to this topic is running: wait until it has ended",
            is_in_use=True,
        )
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return JournalError(f"the disk of the journal {file} is full: free space, and emit again")
    if error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return JournalError(
            f"the journal {file} is damaged: without it nobody knows which lines were sent; remove it to send"
            " them all as new events"
        )
    return JournalError(f"the journal {file} cannot be used ({error})")
