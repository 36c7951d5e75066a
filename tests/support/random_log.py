"""A proven log whose history is drawn at random, and what was drawn: all of it is honest, and chosen to be awkward."""

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from msgspec import structs

from attack_scene import HOUR_MS, LOG, OPERATOR, AtOffset, AttackedLog, Commit, Gone
from proven import ORIGIN
from random_records import RandomRecords
from trailhouse.anchoring.day_manifests import make_finished_days
from trailhouse.operate.erase.orders import Operator, erase, hold, reapply
from trailhouse.operate.erase.sought import Sought, find
from trailhouse.operate.proof_keys.closing import rotated
from trailhouse.proof.erasure import hold_key
from trailhouse.proof.keys import create_key_file
from trailhouse.proof.manifest import DAY_MS
from trailhouse.proof.policy_changes import next_version
from trailhouse.schemas import AuditEvent

UTC = dt.UTC
PARTITIONS = 3
MINUTES_MS = 125_000
"""So far apart are commits at least: what is anchored before one is older than it."""
BEGINNINGS = (
    "2024-02-28T23:57", "2024-12-31T23:55", "2025-02-28T23:59", "2025-10-26T00:58", "2026-03-29T00:59",
    "2026-09-30T23:58", "2026-10-31T23:00", "2000-02-29T23:58", "1970-01-01T00:00",
)  # fmt: skip
"""The ends of days, months and years, a leap day, nights in which clocks are set, the first moment of all."""
FIRST_OFFSETS = (0, 0, 0, 1, 255, 10**9, 10**12, 2**53 + 1)
TABLES = (
    "event_log", "event_index", "event_usage", "event_quarantine", "log_leaves", "log_nodes", "log_checkpoints",
    "log_anchors", "session_manifests", "session_manifest_entries", "batch_ledger", "event_standings", "log_policies",
)  # fmt: skip
ALICE = Operator(name="ops", signer=OPERATOR)


class Appended(NamedTuple):
    """What stands at one offset of a log, and when the broker took it."""

    partition: int
    offset: int
    value: bytes | AuditEvent | None
    at_ms: int


class RandomLog:
    """A log that is grown step by step.

    Attributes:
        appended: Everything that Kafka has had.
        steps: What was done, in words.
        erased: Hashes of records that an order has erased.
        sealed: Records that a seal of their own service names.
    """

    def __init__(self, log: AttackedLog, seed: int) -> None:
        self.log = log
        self.draw = random.Random(seed)  # noqa: S311 - the same of one seed
        self.appended: list[Appended] = []
        self.steps: list[str] = []
        self.erased: set[bytes] = set()
        self.sealed: set[bytes] = set()
        self.policy = log.policy()
        self._records = RandomRecords(self.draw)
        self._ends: dict[int, int] = {}
        self._begins = Counter[int]()
        self._held: set[bytes] = set()
        begins = dt.datetime.fromisoformat(f"{self.draw.choice(BEGINNINGS)}+00:00")
        self._at_ms = round(begins.timestamp() * 1_000) + self.draw.randrange(60_000)
        self._partitions = PARTITIONS
        self._origin = ORIGIN
        self._late_ms = log.keys.now_ms - HOUR_MS

    @property
    def events(self) -> list[AuditEvent]:
        """Every event that was appended, each once."""
        values = [each.value for each in self.appended]
        return list({each.record: each for each in values if isinstance(each, AuditEvent)}.values())

    def is_erased(self, event: AuditEvent) -> bool:
        """Tell whether the record of *event* is gone."""
        return sha256(event.record).digest() in self.erased

    def grow(self, commits: int) -> None:
        """Store so many commits, list their days, anchor now and then, and do what is done to tables between them."""
        for _ in range(commits):
            self._commit()
            at = dt.datetime.fromtimestamp(self._at_ms / 1_000, UTC)
            make_finished_days(self.log.clickhouse, LOG, lambda at=at: at)  # type: ignore[misc]  # bound now
            if self.draw.random() < 0.5:
                self.steps.append("anchor")
                self.log.anchor_under(self.policy, self._at_ms + 30_000)
            if self.draw.random() < 0.4:
                self._maintain()
            if self.draw.random() < 0.15:
                self._rotate()
            if self.draw.random() < 0.15:
                self._widen()
            if self.draw.random() < 0.1:
                self._make_anew()
            if self.draw.random() < 0.15:
                self._elect()
            if self.draw.random() < 0.2:
                self.log.judge(self.policy)
        if not self.log.folder.exists():  # none by chance, and an auditor is told where they are
            self._anchor()
        self.log.judge(self.policy)

    def operate(self, count: int) -> None:
        """Do what operators and owners do, in an order of chance, then anchor and judge."""
        steps = (
            self._erase,
            self._hold,
            self._renew,
            self._rotate,
            self._widen,
            self._maintain,
            self._send_again,
            self._anchor,
        )
        for _ in range(count):
            self.draw.choice(steps)()
        self._anchor()
        self.log.judge(self.policy)

    def _commit(self) -> None:
        until_ms = self.log.keys.now_ms - 2 * HOUR_MS
        self._at_ms = min(self._at_ms + self._gap_ms(), max(until_ms, self._at_ms + MINUTES_MS))
        # A broker's clock may step back, by less than what is told; what waits for an anchor goes by the newest time.
        is_back = self._at_ms > DAY_MS and self.draw.random() < 0.2
        at_ms = self._at_ms - self.draw.randrange(60_000) * is_back
        self._records.at_ms = at_ms
        values: dict[int, list[AtOffset]] = {}
        for value, partition in self._values():
            values.setdefault(partition, []).append(value)
        for number, each in values.items():
            if number not in self._ends:
                self._ends[number] = self._begins[number] = self.draw.choice(FIRST_OFFSETS)
            if self.draw.random() < 0.2:
                place = self.draw.randrange(len(each))
                each[place:place] = [Gone] * self.draw.choice((1, 2, 257))
        self._store(values, at_ms)

    def _gap_ms(self) -> int:
        to_midnight = DAY_MS - self._at_ms % DAY_MS
        # Where days lie between, each has a manifest that is made again in each look; with more than a year none has.
        years = 367 * DAY_MS + 1
        gaps = (
            MINUTES_MS,
            to_midnight,
            to_midnight + 1,
            to_midnight - 1,
            DAY_MS,
            3 * DAY_MS,
            years,
        )
        gap = self.draw.choice(gaps)
        return gap if gap >= MINUTES_MS else gap + MINUTES_MS

    def _store(self, values: dict[int, list[AtOffset]], at_ms: int) -> None:
        firsts = {number: self._ends[number] for number in values}
        counts = {number: (firsts[number], len(each)) for number, each in values.items()}
        self.steps.append(f"store {counts} at {at_ms}")
        for number, each in values.items():
            self.appended += [
                Appended(number, firsts[number] + place, value, at_ms)
                for place, value in enumerate(each)
                if not isinstance(value, type)
            ]
            self._ends[number] = firsts[number] + len(each)
        commit = Commit(values, firsts, self.log.keys.now_ms - at_ms)
        self.log.store_more(commit, origin=self._origin)

    def _values(self) -> Iterator[tuple[AtOffset, int]]:
        for _ in range(self.draw.randrange(1, 4)):
            kind = self.draw.choice(("sealed", "plain", "plain", "again", "bad", "twins"))
            if kind == "again":
                for each in self.draw.choices(self.appended, k=2) if self.appended else ():
                    yield each.value, self.draw.choice((each.partition, each.partition, 2))
            elif kind == "bad":
                yield self._records.bad(), self.draw.randrange(self._partitions)
            else:
                yield from ((event, self._partition_of(event)) for event in self._made(kind))

    def _made(self, kind: str) -> Iterator[AuditEvent]:
        if kind == "plain":
            yield from (self._records.plain() for _ in range(self.draw.choice((1, 5, 20))))
        elif kind == "twins":
            first = self._records.plain()
            yield from (first, self._records.twin(first))
        else:
            keys = self.log.keys
            services = (
                ("agents", keys.agents.signer, ("a", "b", "")),
                ("tools", keys.tools.signer, ("a",)),
            )
            for event in self._records.sealed(*self.draw.choice(services)):
                self.sealed.add(event.record)
                yield event

    def _maintain(self) -> None:
        """Merge a table, write it anew, or take its parts away and put them back."""
        table, what = (
            self.draw.choice(TABLES),
            self.draw.choice(("merge", "merge", "write", "attach")),
        )
        self.steps.append(f"{what} {table}")
        if what == "merge":
            self.log.sql(f"OPTIMIZE TABLE {table} FINAL")
        elif what == "write":
            self.log.sql(f"ALTER TABLE {table} DELETE WHERE false SETTINGS mutations_sync = 2")
        else:
            for (part,) in self.log.clickhouse.query(
                "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase()"
                " AND table = {table:String} AND active",
                {"table": table},
            ).rows:
                self.log.sql(f"ALTER TABLE {table} DETACH PARTITION ID '{part}'")
                self.log.sql(f"ALTER TABLE {table} ATTACH PARTITION ID '{part}'")

    def _anchor(self) -> None:
        self.steps.append("anchor now")
        self.log.anchor_under(self.policy)

    def _renew(self) -> None:
        self.steps.append("policy")
        self.policy = next_version(self.policy, anchor_seconds=self.draw.choice((60, 90)))
        self.log.publish(self.policy)

    def _rotate(self) -> None:
        """Have another key follow the log's: both sign where it begins, and workers and anchors go on with it."""
        self.steps.append("rotate")
        path = self.log.keys.log_path.with_name(f"log-{self.policy.version + 1}.key")
        signer = create_key_file(path)
        overlap = self.draw.choice((0, 5))
        self.policy = rotated(self.log.clickhouse, self.policy, signer, overlap)
        self.log.publish(self.policy)
        self.log.keys.log, self.log.keys.log_path = signer, path
        self.log.proof = structs.replace(self.log.proof, key_file=str(path))

    def _widen(self) -> None:
        """Give the topic more partitions: a session goes on in another one."""
        self._partitions += self.draw.choice((1, 2))
        self.steps.append(f"widen to {self._partitions}")

    def _make_anew(self) -> None:
        """Delete the topic and make it anew under its name, when all of it was stored: its offsets begin again."""
        self._origin = ORIGIN._replace(topic_id=f"made-anew-{len(self.steps)}")
        self.steps.append(f"topic {self._origin.topic_id}")
        self._ends.clear()

    def _elect(self) -> None:
        """Have a leader that lacks the last records take others in their place: another generation begins."""
        number = self.draw.choice(sorted(self._ends)) if self._ends else 0
        lost = min(
            self.draw.choice((1, 2, 7, 300)), self._ends.get(number, 0) - self._begins[number]
        )
        if lost <= 0:  # of a topic that was made anew nothing is stored yet
            return
        self.steps.append(f"another leader of {number} without the last {lost}")
        self._ends[number] -= lost
        self._at_ms += MINUTES_MS
        self._records.at_ms = self._at_ms
        events = [self._records.plain() for _ in range(self.draw.choice((1, lost, lost + 3)))]
        self._store({number: [*events]}, self._at_ms)

    def _erase(self) -> None:
        if not self.events:
            return
        event = self.draw.choice(self.events)
        sought = self.draw.choice((
            Sought(session=event.session_id), Sought(session=event.session_id, tenant=event.tenant_id or ""),
            Sought(event=event.event_id), Sought(text=event.session_id + '"'),
        ))  # fmt: skip
        found = find(self.log.clickhouse, sought)
        assert set(found.digests) == self._meant(sought), f"{sought}"
        if found.digests and not self._held & found.hold_keys:
            self.steps.append(f"erase {sought}")
            erase(self.log.clickhouse, self.policy, ALICE, found, reason="asked for")
            self.erased |= set(found.digests)

    def _meant(self, sought: Sought) -> set[bytes]:
        text = None if sought.text is None else sought.text.encode()
        records: set[bytes] = set()
        for value in (each.value for each in self.appended):
            if isinstance(value, AuditEvent):
                wanted = (sought.session, sought.tenant, sought.event)
                own = (value.session_id, value.tenant_id or "", value.event_id)
                named = all(one in (None, other) for one, other in zip(wanted, own, strict=True))
                if named and (text is None or text in value.record):
                    records.add(value.record)
            elif value and text is not None and text in value:
                records.add(value)
        return {sha256(each).digest() for each in records} - self.erased

    def _hold(self) -> None:
        if not self.events:
            return
        event = self.draw.choice(self.events)
        of_tenant = hold_key("tenant", event.tenant_id or "")
        key = self.draw.choice((hold_key("session", event.session_id), of_tenant))
        if key in self._held:
            return
        self.steps.append("hold")
        hold(self.log.clickhouse, self.policy, ALICE, [key], reason="a court")
        self._held.add(key)
        if self.draw.random() < 0.6:
            self.steps.append("lift")
            hold(self.log.clickhouse, self.policy, ALICE, [key], reason="over", is_lifted=True)
            self._held.remove(key)

    def _send_again(self) -> None:
        """Store once more what a spool sends again, erased records too; then the orders are carried out again."""
        self._late_ms += 1_000
        values: dict[int, list[AtOffset]] = {}
        for each in self._some():
            values.setdefault(each.partition, []).append(each.value)
        for number in values.keys() - self._ends.keys():  # of a topic made anew nothing is there
            self._ends[number] = self._begins[number] = 0
        self._store(values, self._late_ms)
        reapply(self.log.clickhouse, self.policy)

    def _some(self) -> Sequence[Appended]:
        return self.draw.choices(self.appended, k=3) if self.appended else ()

    def _partition_of(self, event: AuditEvent) -> int:
        return sha256(event.session_id.encode()).digest()[0] % self._partitions
