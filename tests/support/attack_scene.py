"""A proven log to be attacked: made once, copied for each attack, and made anew with another history."""

import base64
import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from kafka_records import Record
from made_keys import made_key
from proven import ORIGIN, ProvenLog
from sealing_scene import Logger, claimed
from trailhouse.anchoring.anchor_store import AnchorStore, Receipt
from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.day_manifests import make_finished_days, not_anchored_yet
from trailhouse.anchoring.places import writer_of
from trailhouse.attesting.seal_rounds import judge_seals
from trailhouse.broker.origin import Origin
from trailhouse.operate.erase.blank import blank
from trailhouse.operate.proof_keys.accepting import Acceptances
from trailhouse.operate.verify.duty import Duty
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import Report, verdict_of
from trailhouse.operate.verify.state import Kept
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.cosignature import cosignature, cosigned_message, signature_line
from trailhouse.proof.erasure import Order, OrderKind, erasure_name
from trailhouse.proof.keys import (
    FileSigner,
    create_key_file,
    is_signed_by,
    note_signed,
    read_key_file,
)
from trailhouse.proof.note import COSIGNATURE_TYPE, verifier_key
from trailhouse.proof.policy import LogKey, OperatorKey, Policy, owner_name
from trailhouse.proof.policy_changes import with_accepted
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.erasures import store_order
from trailhouse.store.policies import store_policy

LOG = "audit.example.org/attacked"
OWNER = made_key(9)
OPERATOR = made_key(8)
WITNESS = made_key(7)
HOUR_MS = 3_600_000
Value = bytes | AuditEvent | None

_READ_OUTSIDE = ("policy", "anchors", "manifests")
"""Duties that read the copies of the anchors which others keep."""


class Gone:
    """Stands for a record that Kafka has lost: its offset stays, and holds none."""


AtOffset = Value | type[Gone]
"""What an offset has."""


@dataclass(frozen=True)
class Commit:
    """What one batch reads: the records of each partition, from which offset on, and when they were appended."""

    values: Mapping[int, Sequence[AtOffset]]
    first_offsets: Mapping[int, int]
    ago_ms: int
    is_anchored: bool = False
    """Whether an anchor is made after it."""


@dataclass(frozen=True)
class History:
    """All that Kafka has held, as commits in order; immutable, so that an attack makes another one of it."""

    commits: tuple[Commit, ...]

    def edited(self, edit: Callable[[int, int, Value], AtOffset]) -> "History":
        """Return another one: *edit* is given partition, offset and value, and gives the value, or `Gone`."""
        return History(tuple(_edited(commit, edit) for commit in self.commits))


@dataclass
class Keys:
    """Who can sign what."""

    log: FileSigner
    log_path: Path
    agents: Logger = field(default_factory=lambda: Logger("agents", "p1", made_key(11)))
    tools: Logger = field(default_factory=lambda: Logger("tools", "p2", made_key(12)))
    legacy: Logger = field(default_factory=lambda: Logger("other", "p5", made_key(13)))
    last_seal: AuditEvent | None = None
    now_ms: int = field(default_factory=lambda: round(time.time() * 1_000))


class AttackedLog:
    """A database with a log, its policy and anchors, and a folder that others keep them in."""

    def __init__(self, config: ClickHouseConfig, keys: Keys, folder: Path) -> None:
        self.clickhouse = ClickHouse(config)
        self.keys = keys
        self.folder = folder
        self._ends: dict[tuple[str, int], int] = {}
        self.also_drops: list[str] = []  # other databases that are dropped with it
        self.place = f"folder:{folder}"
        """Where others keep the anchors."""
        self.ending = ExitStack()
        """Undoes what was done beside the database."""
        self.proof = ProofConfig(
            log_name=LOG,
            key_file=str(keys.log_path),
            owner_key=base64.b64encode(OWNER.public_key).decode(),
        )

    def sql(self, statement: str, **values: Any) -> None:
        """Run one statement as an administrator, and wait for what it changes."""
        self.clickhouse.command(f"{statement}", values)

    def one(self, query: str) -> Any:
        """Return the one value of *query*."""
        return self.clickhouse.query(query).rows[0][0]

    def publish(self, policy: Policy, owner: FileSigner = OWNER) -> None:
        """Put *policy* into force."""
        store_policy(self.clickhouse, policy, note_signed(policy.text, owner, owner_name(LOG)))

    def policy(self, **fields: Any) -> Policy:
        """Return the first policy, with other *fields*."""
        given: dict[str, Any] = {
            "log_name": LOG,
            "version": 1,
            "log_keys": (LogKey(public_key=text_of(self.keys.log)),),
            "services": (self.keys.agents.key("a", "b", ""), self.keys.tools.key("a")),
            "operators": (OperatorKey(name="ops", public_key=text_of(OPERATOR)),),
        }
        return Policy(**given | fields)

    def accept(self, reason: str = "known, and looked at", owner: FileSigner = OWNER) -> Policy:
        """Have the owner, or who claims to be he, accept all that nobody has signed and nobody will."""
        policy = self.policy()
        found = Acceptances(self.clickhouse, self.proof, policy)
        try:
            at = dt.datetime.fromtimestamp(self.keys.now_ms / 1_000, dt.UTC)
            accepted = found.accepted((), reason, at)
        finally:
            found.close()
        newer = with_accepted(policy, accepted)
        self.publish(newer, owner)
        return newer

    def order(self, kind: OrderKind, number: int, *digests: bytes) -> None:
        """Have an operator order something."""
        order = Order(LOG, kind, number, "ops", self.keys.now_ms, 3, "asked for", digests)
        store_order(self.clickhouse, order, note_signed(order.text, OPERATOR, erasure_name(LOG)))

    def erase(self, where: str, table: str = "event_log", *, number: int = 1) -> None:
        """Have an operator erase one record, by the order of that number."""
        digest = bytes.fromhex(self.one(f"SELECT hex(SHA256(record)) FROM {table} WHERE {where}"))
        self.order("erase", number, digest)
        blank(self.clickhouse, [digest])

    def store(self, history: History, *, anchors: bool = True) -> None:
        """Store all of *history*, and anchor where it says so."""
        log = ProvenLog(self.clickhouse, self.proof, ORIGIN)
        now_ms = self.keys.now_ms
        for commit in history.commits:
            self._store(log, commit, commit.first_offsets, now_ms - commit.ago_ms)
            # By the worker's own clock: the broker's may be in another century.
            at = dt.datetime.fromtimestamp((now_ms - max(commit.ago_ms, 0)) / 1_000, dt.UTC)
            make_finished_days(self.clickhouse, LOG, lambda at=at: at)  # type: ignore[misc]  # bound now
            if commit.is_anchored and anchors:
                self.anchor(now_ms - commit.ago_ms + 30_000)
        self.judge()

    def store_more(
        self,
        commit: Commit,
        reads_from: Mapping[int, int] | None = None,
        origin: Origin = ORIGIN,
    ) -> None:
        """Store what follows in the topic of *origin*, by a worker that starts now and reads from *reads_from* on."""
        log = ProvenLog(self.clickhouse, self.proof, origin)
        at_ms = self.keys.now_ms - commit.ago_ms
        self._store(log, commit, reads_from or commit.first_offsets, at_ms)

    def _store(
        self, log: ProvenLog, commit: Commit, reads_from: Mapping[int, int], at_ms: int
    ) -> None:
        # A commit that reads from an offset after the last one passes over what Kafka does not have there.
        topic_id = log.origin.topic_id
        starts = {
            number: min(first, self._ends.get((topic_id, number), first))
            for number, first in reads_from.items()
        }
        for number, each in commit.values.items():
            end = commit.first_offsets[number] + len(each)
            self._ends[topic_id, number] = max(end, self._ends.get((topic_id, number), end))
        if records := records_of(commit.values, commit.first_offsets, at_ms):
            log.write(records, starts)

    def judge(self, policy: Policy | None = None) -> None:
        """Write down for readers what the seals say, as a worker does beside its work."""
        judge_seals(self.clickhouse, policy or self.policy(), is_signed_by)

    def anchor(self, at_ms: int, signer: FileSigner | None = None) -> None:
        """Anchor once, and have the folder keep it."""
        self.anchor_under(self.policy(), at_ms, signer)

    def anchor_under(
        self, policy: Policy, at_ms: int | None = None, signer: FileSigner | None = None
    ) -> None:
        """Anchor once while *policy* is in force; at once after what was stored, where no time is given."""
        now_ms = self._stored_at_ms() if at_ms is None else at_ms
        self.folder.mkdir(exist_ok=True)
        Anchorer(
            self.clickhouse,
            log_name=LOG,
            signer=signer or self.keys.log,
            writers=[writer_of(self.place)],
            policy=lambda: policy,
            manifests=not_anchored_yet(self.clickhouse, LOG),
            clock=lambda: now_ms / 1_000,
        ).run()

    def _stored_at_ms(self) -> int:
        """Return when the newest batch was stored: how long a run of all attacks takes must not make anchors late."""
        return int(self.one("SELECT toUnixTimestamp64Milli(max(written_at)) FROM batch_ledger"))

    def verify(
        self,
        *,
        outside: bool = True,
        without: frozenset[str] = frozenset(),
        since: Mapping[LogId, Kept] | None = None,
        duties: Sequence[Duty] = DUTIES,
        **options: Any,
    ) -> Report:
        """Do every duty, or *duties*, with the anchors that others keep or without; *options* as `verify` has them."""
        return verify(
            self.clickhouse,
            proof=self.proof,
            anchors=self.place if outside else "",
            without=without,
            since=since,
            duties=duties,
            **options,
        )

    def verify_alone(self, report: Report) -> Report:
        """Return what *report*, of every duty, would be without the anchors that others keep; some duties read them."""
        again = self.verify(
            outside=False, duties=[duty for duty in DUTIES if duty.name in _READ_OUTSIDE]
        )
        by_name = {each.name: each for each in again.duties}
        duties = tuple(by_name.get(each.name, each) for each in report.duties)
        return structs.replace(report, verdict=verdict_of(duties), duties=duties)

    def close(self) -> None:
        """Drop the database, and undo what was done beside it."""
        self.ending.close()
        for name in (*self.also_drops, self.clickhouse.config.database):
            self.clickhouse.command(f"DROP DATABASE IF EXISTS `{name}`", in_database=False)
        self.clickhouse.close()


def anchor_with_a_witness(log: AttackedLog, *, is_cosigned: bool) -> None:
    """Put a policy into force that asks for a witness, and anchor an hour ago."""
    anchor_with_witnesses(log, (WITNESS,), quorum=1, cosign=(WITNESS,) if is_cosigned else ())


def anchor_with_witnesses(
    log: AttackedLog,
    witnesses: Sequence[FileSigner],
    *,
    quorum: int,
    cosign: Sequence[FileSigner],
) -> None:
    """Put a policy into force that asks for *quorum* of *witnesses*, and anchor an hour ago; those of *cosign* do."""
    names = {each.public_key: f"witness.example/w{place}" for place, each in enumerate(witnesses)}
    keys = tuple(verifier_key(name, key, COSIGNATURE_TYPE) for key, name in names.items())
    policy = log.policy(version=2, previous=log.policy().sha256, witnesses=keys, quorum=quorum)
    log.publish(policy)
    log.anchor_under(policy, log.keys.now_ms - HOUR_MS)
    store = AnchorStore(log.clickhouse, LOG, lambda _: [log.keys.log.public_key])
    newest = store.last()
    assert newest is not None
    receipts = []
    for place, witness in enumerate(cosign):
        name, at_seconds = names[witness.public_key], log.keys.now_ms // 1_000 + place
        for each in newest.anchor.checkpoints:
            made = witness.sign(cosigned_message(each.text, at_seconds))
            line = signature_line(cosignature(name, witness.public_key, at_seconds, made))
            receipts.append(Receipt("cosigned", name, each.origin, line.encode()))
    store.note(newest, receipts)


def text_of(signer: FileSigner) -> str:
    """Return a public key as policies have it."""
    return base64.b64encode(signer.public_key).decode()


def make_keys(folder: Path) -> Keys:
    """Make the keys of a log in *folder*."""
    path = folder / "log.key"
    create_key_file(path)
    return Keys(read_key_file(path), path)


def a_history(keys: Keys) -> History:
    """Return what the log has held: sealed and unsealed events, copies, holes, bad records; the end is not anchored."""
    agents = keys.agents = Logger("agents", "p1", keys.agents.signer)
    tools = keys.tools = Logger("tools", "p2", keys.tools.signer)
    first = [
        agents.log(session_id=f"s{n % 3}", tenant_id="ab"[n % 2], run_id="r") for n in range(9)
    ]
    approvals = [
        agents.log(f"tool_approval_{what}", "s0", tenant_id="a", run_id="r", data=data)
        for what, data in (
            ("requested", {"approval_id": "k", "tool_name": "pay"}),
            ("denied", {"approval_id": "k", "reason": "no"}),
        )
    ]
    usage = [
        agents.log("token_usage_updated", "s1", tenant_id="a", run_id="r", data={"input_tokens": n, "cost_usd": 0.5})
        for n in range(3)
    ]  # fmt: skip
    calls = [
        tools.log(
            "tool_call_started",
            "s2",
            tenant_id="a",
            run_id="r",
            data={"tool_call_id": "c", "tool_name": "pay"},
        )
    ]
    legacy = [claimed("legacy", "p9", n, session_id="old") for n in range(4)]
    nameless = [AuditEvent(type="note", session_id="old")]
    first_seal, tools_seal = agents.seal(), tools.seal(is_last=True)
    tail = [agents.log(session_id="s0", tenant_id="a", data={"n": n}) for n in range(3)]
    keys.last_seal = agents.seal()
    return History(
        (
            Commit(
                {0: [*first[:5], b"not an event", None], 1: first[5:], 2: legacy[:2]},
                {0: 0, 1: 0, 2: 0},
                30 * HOUR_MS,
                is_anchored=True,
            ),
            Commit(
                {0: [*approvals, first[1]], 1: usage, 2: [*calls, *legacy[2:], *nameless]},
                {0: 9, 1: 4, 2: 2},
                2 * HOUR_MS,
                is_anchored=True,
            ),
            Commit(
                {0: [first_seal], 1: [tools_seal]},
                {0: 12, 1: 7},
                2 * HOUR_MS - 60_000,
                is_anchored=True,
            ),
            Commit({0: tail, 1: [keys.last_seal]}, {0: 13, 1: 8}, 2 * HOUR_MS - 120_000),
        )
    )


def records_of(
    values: Mapping[int, Sequence[AtOffset]], starts: Mapping[int, int], at_ms: int
) -> list[Record]:
    """Return *values* as Kafka gives them, from *starts* on."""
    return [
        Record(
            value.record if isinstance(value, AuditEvent) else value,
            partition=number,
            offset=starts[number] + place,
            appended_ms=at_ms,
        )
        for number, each in values.items()
        for place, value in enumerate(each)
        if not isinstance(value, type)
    ]


def _edited(commit: Commit, edit: Callable[[int, int, Value], AtOffset]) -> Commit:
    values: dict[int, list[AtOffset]] = {}
    for partition, each in commit.values.items():
        first = commit.first_offsets[partition]
        values[partition] = [
            value if isinstance(value, type) else edit(partition, first + place, value)
            for place, value in enumerate(each)
        ]
    return replace(commit, values=values)
