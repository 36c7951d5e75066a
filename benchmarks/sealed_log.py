"""A whole log for measuring: enrolled producers' events, stored as a worker does, sealed, judged, anchored."""

import base64
import datetime as dt
import time
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from benchmarks.records import Ready, ready_records, recorded_fields
from kafka_records import Record
from made_keys import made_key
from proven import ORIGIN, ProvenLog
from sealing_scene import Logger
from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.day_manifests import make_finished_days, not_anchored_yet
from trailhouse.anchoring.writers.folder import FolderWriter
from trailhouse.attesting.seal_rounds import judge_seals
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import (
    FileSigner,
    create_key_file,
    is_signed_by,
    note_signed,
    read_key_file,
)
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.proof.seal import SEAL_TYPE, data_of, seal_session, sealed
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.record import Source, renumbered
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.policies import store_policy

NAME = "bench.example/agents"
PARTITIONS, PRODUCERS = 12, 4
COMMIT_EVENTS = 12_000
SEAL_EVENTS = 10_000
EVENTS_A_MS = 10
_SERVICE, _PRODUCER = "bench", b"bench-producer"
_TIME = b'"occurred_at":"'


class _Stamped(NamedTuple):
    key: bytes
    value: bytes
    at_ms: int


class Audited(NamedTuple):
    """A log as an auditor knows it."""

    clickhouse: ClickHouseConfig
    proof: ProofConfig
    anchors: str

    def verify(self, *, quick: bool = False, since: tuple[Kept, ...] = (), jobs: int = 1) -> Report:
        """Do every duty; from where *since* ends, where it is given.

        Raises:
            SystemExit: Something was found, or could not be checked.
        """
        report = verify(
            ClickHouse(self.clickhouse),
            proof=self.proof,
            anchors=self.anchors,
            quick=quick,
            since={kept.log: kept for kept in since},
            jobs=jobs,
        )
        if report.verdict is not Outcome.INTACT:
            raise SystemExit(f"benchmarks: expected an intact log, found {report}")
        return report


class SealedLog:
    """A database with a log that grows by `fill`, each time by events of producers of their own."""

    def __init__(self, config: ClickHouseConfig, folder: Path) -> None:
        create_key_file(folder / "log.key")
        self.clickhouse = ClickHouse(config)
        self._anchors = folder / "anchors"
        self._anchors.mkdir()
        self._signer = read_key_file(folder / "log.key")
        owner, self._service = made_key(9), made_key(11)
        self._policy = Policy(
            log_name=NAME,
            version=1,
            log_keys=(LogKey(public_key=base64.b64encode(self._signer.public_key).decode()),),
            services=(Logger(_SERVICE, "", self._service).key("*"),),
        )
        store_policy(
            self.clickhouse,
            self._policy,
            note_signed(self._policy.text, owner, owner_name(NAME)),
        )
        self._proof = ProofConfig(
            log_name=NAME,
            key_file=str(folder / "log.key"),
            owner_key=base64.b64encode(owner.public_key).decode(),
        )
        self._log = ProvenLog(self.clickhouse, self._proof, ORIGIN)
        self._next = dict.fromkeys(range(PARTITIONS), 0)
        self._fills = 0

    def fill(self, events: int) -> int:
        """Store *events*, their seals, and what follows from both; return how many records that were."""
        self._fills += 1
        before = sum(self._next.values())
        stamped = self._stamped(events)
        while some := list(islice(stamped, COMMIT_EVENTS)):
            self._commit(some)
        judge_seals(self.clickhouse, self._policy, is_signed_by)
        make_finished_days(self.clickhouse, NAME, lambda: dt.datetime.now(dt.UTC))
        Anchorer(
            self.clickhouse,
            log_name=NAME,
            signer=self._signer,
            writers=[FolderWriter(str(self._anchors))],
            policy=lambda: self._policy,
            manifests=not_anchored_yet(self.clickhouse, NAME),
            clock=time.time,
        ).run()
        return sum(self._next.values()) - before

    @property
    def audited(self) -> Audited:
        """What an auditor is given."""
        return Audited(self.clickhouse.config, self._proof, f"folder:{self._anchors}")

    def _commit(self, some: list[_Stamped]) -> None:
        ordered = sorted(some, key=lambda each: crc32(each.key) % PARTITIONS)
        starts = dict(self._next)
        records: list[Record] = []
        for partition, each in groupby(ordered, key=lambda each: crc32(each.key) % PARTITIONS):
            for event in each:
                records.append(
                    Record(
                        event.value,
                        partition=partition,
                        offset=self._next[partition],
                        appended_ms=event.at_ms,
                    )
                )
                self._next[partition] += 1
        self._log.write(records, starts)

    def _stamped(self, events: int) -> Iterator[_Stamped]:
        """Yield events as the fill's producers make them, and behind each `SEAL_EVENTS` of one its seal."""
        first_ms = time.time_ns() // 1_000_000 - events // EVENTS_A_MS - 1_000
        loggers = [
            _Sealing(b"%d-%012d" % (place, self._fills), self._service)
            for place in range(PRODUCERS)
        ]
        templates = len(recorded_fields())
        for number, ready in enumerate(ready_records(events)):
            at_ms = first_ms + number // EVENTS_A_MS
            logger = loggers[number % PRODUCERS]
            yield logger.stamped(ready, number % templates, at_ms)
            if len(logger.digests) == SEAL_EVENTS:
                yield logger.seal(at_ms)
        for logger in loggers:
            yield logger.seal(first_ms + events // EVENTS_A_MS, is_last=True)


class _Sealing:
    """A producer: it numbers its events, and seals them."""

    def __init__(self, producer: bytes, signer: FileSigner) -> None:
        self._producer = producer
        self._signer = signer
        self._next = 0
        self.digests: list[bytes] = []

    def stamped(self, ready: Ready, seq: int, at_ms: int) -> _Stamped:
        """Return *ready*, which has the number *seq*, as the next event of this producer."""
        value = ready.value.replace(_PRODUCER, self._producer)
        value = renumbered(_at(value, at_ms), seq, self._next)
        self._note(value)
        return _Stamped(ready.key, value, at_ms)

    def seal(self, at_ms: int, *, is_last: bool = False) -> _Stamped:
        """Return the seal over what is not sealed yet; the next covers it, but for the last."""
        producer = self._producer.decode()
        made = sealed(
            _SERVICE,
            producer,
            self._next - len(self.digests),
            self.digests,
            next_within_seconds=60,
            is_last=is_last,
            own_seq=self._next if is_last else None,
        )
        said = data_of(made, self._signer.public_key, self._signer.sign(made.text.encode()))
        event = AuditEvent(
            type=SEAL_TYPE,
            session_id=seal_session(producer),
            occurred_at=dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC),
            source=Source(service=_SERVICE, producer_id=producer, seq=self._next),
            data=msgspec.to_builtins(said),
        )
        self.digests = []
        self._note(event.record)
        return _Stamped(event.session_id.encode(), event.record, at_ms)

    def _note(self, value: bytes) -> None:
        self.digests.append(record_hash(value))
        self._next += 1


def _at(value: bytes, at_ms: int) -> bytes:
    """Return the record *value* as if it had happened at *at_ms*."""
    begin = value.rindex(_TIME) + len(_TIME)
    moment = dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    return value[:begin] + text + value[begin + len(text) :]
