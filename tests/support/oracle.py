"""The oracle: whatever broke, it says whether an event was lost, seen twice, invented or out of order.

=====  ==========================================================================================
I1     no loss: every event that a producer was told is taken, is in the view or in quarantine
I2     nothing twice: `count()` = `uniqExact(session, id, record hash)` of the view, at every instant
I3     nothing invented: the view holds only what was logged, unchanged, and nothing that was refused
I4     order: a session's events have growing numbers in append order
I5     commit ≤ data: at every instant each offset below the committed one is stored, quarantined or in
       the ledger; a commit never goes back; in the end each record of the topic is found by its hash
I6     ledger: its ranges cover each partition from its begin to the committed offset, without a hole
I7     liveness: the group's lag returns to 0 in time
I8     bounds: resident memory, spools and parts stay below their limits
=====  ==========================================================================================
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaException

from group_offsets import GroupOffsets
from history import History, Invoked, digest_of, read_history
from trailhouse.broker.admin import KafkaAdmin, PartitionLag
from trailhouse.schemas import AuditEvent, KafkaConfig, decode
from trailhouse.schemas.errors import StorageError
from trailhouse.store import ClickHouse, ClickHouseConfig
from waiting import DEADLINE_SECONDS, eventually

SAMPLE_SECONDS = 0.1
MAX_SHOWN = 3
MAX_PARTS = 400
MAX_RSS_BYTES = 700_000_000


class Seen(NamedTuple):
    """One event as a reader sees it."""

    session_id: str
    event_id: str
    partition: int
    offset: int
    appended_ms: int
    record: bytes


class Oracle:
    """Watches one topic and its database, and judges them in the end."""

    def __init__(
        self, kafka: KafkaConfig, database: ClickHouseConfig, group_id: str, folder: Path
    ) -> None:
        self.kafka = kafka
        self.group_id = group_id
        self.violations: list[str] = []
        self.samples = 0
        self.commits_may_go_back = False
        self.histories: set[Path] = set()
        self.pids: set[int] = set()
        self.peak_rss_bytes: dict[int, int] = {}
        self._storage = ClickHouse(msgspec.structs.replace(database, timeout_seconds=20.0))
        self.topic_id = KafkaAdmin(kafka).topic_id()
        self._offsets = GroupOffsets(kafka, group_id)
        self.forgiven: set[str] = set()
        """Events whose loss a test has caused on purpose, and which it finds elsewhere."""
        self._expected = 0
        self._own = folder / "events.history"
        self._committed: dict[int, int] = {}
        self._one_look = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)

    def __enter__(self) -> "Oracle":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._offsets.close()
        self._storage.close()

    def note_topic_made_anew(self) -> None:
        """Judge by the topic that now bears the name; its offsets begin again."""
        eventually(lambda: KafkaAdmin(self.kafka).topic() is not None, "the topic made anew")
        self.topic_id = KafkaAdmin(self.kafka).topic_id()
        self._committed.clear()

    def expect(self, events: Iterable[AuditEvent]) -> None:
        """Note events that a test has put into the topic itself, in this order, and knows are there."""
        history = History(self._own)
        self.histories.add(self._own)
        for event in events:
            history.invoke(event.event_id, event.session_id, self._expected, event.data)
            history.outcome(event.event_id, "ok")
            self._expected += 1

    def committed(self) -> int:
        """Return the sum of the committed offsets."""
        return sum(part.committed_offset or 0 for part in self._offsets.lag())

    def ends(self) -> dict[int, int]:
        """Return where each partition ends."""
        return {part.partition: part.end_offset for part in self._offsets.lag()}

    def judge(
        self, seconds: float = DEADLINE_SECONDS, *, has_order: bool = True, has_history: bool = True
    ) -> list[Seen]:
        """Wait until the lag is 0, check every invariant, and return what a reader sees.

        Raises:
            AssertionError: An invariant does not hold; names the event or the offset.
        """
        lag = self.wait_for_no_lag(seconds)
        eventually(self._is_there, "a ClickHouse that answers")
        self._sample()
        view = self.view()
        invoked = self._invoked()
        self._check_loss(invoked, view)
        if has_history:
            self._check_invented(invoked, view)
        if has_order:
            self._check_order(invoked, view)
        self._check_topic(view)
        self._check_ledger(lag)
        self._check_parts()
        assert not self.violations, "; ".join(self.violations[:MAX_SHOWN])
        assert self.samples > 0, "expected at least one look during the run, got none"
        return view

    def wait_for_no_lag(self, seconds: float) -> tuple[PartitionLag, ...]:
        """I7: return the offsets once everything in the topic is committed."""
        end = time.monotonic() + seconds
        while True:
            try:
                lag = self._offsets.lag()
                if not any(part.lag_records for part in lag):
                    return lag
                left = str({part.partition: part.lag_records for part in lag})
            except KafkaException as error:
                left = str(error)
                # A client from before an outage may not answer for minutes; a new one does.
                self._offsets = GroupOffsets(self.kafka, self.group_id)
            assert time.monotonic() < end, f"I7: expected no lag within {seconds:g} s, got {left}"
            threading.Event().wait(0.1)

    def _is_there(self) -> bool:
        try:
            self._storage.ping()
        except StorageError:
            return False
        return True

    def view(self) -> list[Seen]:
        """Return every event of the view, in append order."""
        rows = self._storage.query(
            "SELECT session_id, toString(event_id), kafka_partition, kafka_offset,"
            " toUnixTimestamp64Milli(appended_at), record FROM events"
            " ORDER BY kafka_partition, kafka_offset",
            bytes_columns=("record",),
        ).rows
        return [Seen(*row) for row in rows]

    def quarantined(self) -> set[bytes]:
        """Return the hashes of all records in quarantine."""
        rows = self._storage.query(
            "SELECT ifNull(record, '') AS record FROM quarantine", bytes_columns=("record",)
        ).rows
        return {_hash(record) for (record,) in rows}

    def _invoked(self) -> dict[str, Invoked]:
        found: dict[str, Invoked] = {}
        for path in self.histories:
            found |= read_history(path)
        return found

    def _check_loss(self, invoked: Mapping[str, Invoked], view: Sequence[Seen]) -> None:
        quarantined = self._storage.query(
            "SELECT JSONExtractString(ifNull(record, ''), 'event_id') FROM quarantine"
        ).rows
        there = (
            {seen.event_id for seen in view} | {str(row[0]) for row in quarantined} | self.forgiven
        )
        missing = [
            one for one in invoked.values() if one.outcome == "ok" and one.event_id not in there
        ]
        total = sum(one.outcome == "ok" for one in invoked.values())
        assert not missing, (
            f"I1: expected all {total} events that were taken, {len(missing)} are lost: "
            + ", ".join(
                f"{one.event_id} ({one.session_id} n={one.seq})" for one in missing[:MAX_SHOWN]
            )
        )

    def _check_invented(self, invoked: Mapping[str, Invoked], view: Sequence[Seen]) -> None:
        for seen in view:
            one = invoked.get(seen.event_id)
            where = f"partition {seen.partition} offset {seen.offset}"
            assert one is not None, f"I3: nobody logged {seen.event_id}, seen at {where}"
            assert one.outcome != "fail", f"I3: {seen.event_id} was refused, but is seen at {where}"
            digest = digest_of(seen.event_id, seen.session_id, decode(seen.record).data)
            assert digest == one.digest, f"I3: {seen.event_id} was altered, seen at {where}"

    def _check_order(self, invoked: Mapping[str, Invoked], view: Sequence[Seen]) -> None:
        last: dict[tuple[str, int], tuple[int, Seen]] = {}
        for seen in view:
            if (one := invoked.get(seen.event_id)) is None:
                continue
            place = (seen.session_id, seen.partition)
            before = last.get(place)
            if before is not None:
                assert before[0] < one.seq, (
                    f"I4: {seen.session_id}: n={one.seq} at partition {seen.partition} offset {seen.offset}"
                    f" stands behind n={before[0]} at offset {before[1].offset}"
                )
            last[place] = (one.seq, seen)

    def _check_topic(self, view: Sequence[Seen]) -> None:
        """I5 in the end: each record that the topic still has is in the view or in quarantine."""
        there = {_hash(seen.record) for seen in view} | self.quarantined()
        for message in self._offsets.records():
            assert _hash(message.value() or b"") in there, (
                f"I5: the record at partition {message.partition()} offset {message.offset()} is neither stored"
                " nor quarantined"
            )

    def _check_ledger(self, lag: Sequence[PartitionLag]) -> None:
        ranges = self._ledger()
        for part in lag:
            if part.committed_offset is None:
                continue
            hole = _first_hole(
                ranges.get(part.partition, []), part.first_offset, part.committed_offset
            )
            assert hole is None, (
                f"I6: partition {part.partition} offset {hole} is in no range of the ledger;"
                f" committed is {part.committed_offset}"
            )

    def _check_parts(self) -> None:
        sql = (
            "SELECT table, count() FROM system.parts WHERE active AND database = currentDatabase()"
            " GROUP BY table"
        )
        for table, count in self._storage.query(sql).rows:
            assert count <= MAX_PARTS, (
                f"I8: expected at most {MAX_PARTS} parts of {table}, got {count}"
            )
        for pid, size_bytes in self.peak_rss_bytes.items():
            assert size_bytes <= MAX_RSS_BYTES, (
                f"I8: expected at most {MAX_RSS_BYTES} bytes resident, process {pid} had {size_bytes}"
            )

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with self._one_look:  # of two at once, the later answer could be noted first
            self._look()

    def _look(self) -> None:
        self._sample_memory()
        lag: tuple[PartitionLag, ...] = ()
        with contextlib.suppress(KafkaException):  # it is away: that may be the fault
            lag = self._offsets.lag()
        try:  # in this order: a commit that is seen first must have its rows
            self._sample_view()
            for part in lag:
                self._sample_commit(part)
        except StorageError:
            return
        self.samples += 1

    def _sample_view(self) -> None:
        sql = "SELECT count(), uniqExact(session_id, event_id, record_key) FROM events"
        ((count, distinct),) = self._storage.query(sql).rows
        if count != distinct:
            twice = self._storage.query(
                "SELECT toString(event_id), count() AS copies FROM events"
                " GROUP BY session_id, event_id, record_key HAVING copies > 1 LIMIT 1"
            ).rows
            self.violations.append(
                f"I2: expected {distinct} events in the view, got {count}: {twice}"
            )

    def _sample_commit(self, part: PartitionLag) -> None:
        committed = part.committed_offset
        if committed is None:
            return
        before = self._committed.get(part.partition, 0)
        self._committed[part.partition] = committed
        if committed < before and not self.commits_may_go_back:
            self.violations.append(
                f"I5: the commit of partition {part.partition} went back from {before} to {committed}"
            )
        ranges = self._ledger(part.partition).get(part.partition, [])
        if _first_hole(ranges, part.first_offset, committed) is None:
            return
        if (missing := self._missing(part, committed)) is not None:
            self.violations.append(
                f"I5: partition {part.partition} offset {missing} is below the committed {committed},"
                " but not stored, not quarantined and not in the ledger"
            )

    def _missing(self, part: PartitionLag, committed: int) -> int | None:
        rows = self._storage.query(
            "SELECT kafka_offset FROM event_log WHERE kafka_partition = {p:UInt16} AND kafka_topic_id = {t:String}"
            " UNION ALL SELECT kafka_offset FROM event_quarantine"
            " WHERE kafka_partition = {p:UInt16} AND kafka_topic_id = {t:String}",
            {"p": part.partition, "t": self.topic_id},
        ).rows
        single = [(int(row[0]), int(row[0])) for row in rows]
        ranges = self._ledger(part.partition).get(part.partition, [])
        return _first_hole([*single, *ranges], part.first_offset, committed)

    def _ledger(self, partition: int | None = None) -> dict[int, list[tuple[int, int]]]:
        rows = self._storage.query(
            "SELECT kafka_partition, first_offset, last_offset FROM batch_ledger WHERE kafka_topic_id = {t:String}"
            + ("" if partition is None else f" AND kafka_partition = {partition}"),
            {"t": self.topic_id},
        ).rows
        ranges: dict[int, list[tuple[int, int]]] = {}
        for number, first, last in rows:
            ranges.setdefault(int(number), []).append((int(first), int(last)))
        return ranges

    def _sample_memory(self) -> None:
        for pid in tuple(self.pids):
            if size_bytes := resident_bytes(pid):
                self.peak_rss_bytes[pid] = max(self.peak_rss_bytes.get(pid, 0), size_bytes)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) * 1_024 for line in status.splitlines() if line.startswith("VmRSS")),
        0,
    )


def _hash(record: bytes) -> bytes:
    return hashlib.sha256(record).digest()


def _first_hole(ranges: Sequence[tuple[int, int]], begin: int, end: int) -> int | None:
    """Return the first offset from *begin* up to before *end* that no range holds."""
    at = begin
    for first, last in sorted(ranges):
        if first > at:
            break
        at = max(at, last + 1)
    return at if at < end else None
