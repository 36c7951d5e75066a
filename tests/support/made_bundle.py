"""A small proven log in memory, and bundles of it: made from nothing but the pure forms."""

import base64
import datetime as dt
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from made_keys import made_key
from trailhouse.operate.prove.bundle_files import BundledEvent, BundledSession, Evidence
from trailhouse.proof.anchor import Anchor, anchor_name
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import fingerprint, note_signed
from trailhouse.proof.leaf import LeafKind, leaf_bytes
from trailhouse.proof.manifest import (
    DAY_MS,
    Entry,
    Header,
    Manifest,
    day_of,
    first_ms,
    session_key,
)
from trailhouse.proof.merkle import HOLE_HASH, inclusion_intervals, leaf_hash, root_of
from trailhouse.proof.policy import LogKey, Policy, owner_name
from trailhouse.proof.tlog_proof import TlogProof

LOG = "audit.example.org/agents"
ORIGIN = f"{LOG}/agent-events/AAAAAAAAAAAAAAAAAAAAAA/0/1"
OTHER = f"{LOG}/agent-events/AAAAAAAAAAAAAAAAAAAAAA/1/1"
LOG_KEY, OWNER = made_key(1), made_key(2)
PIN = fingerprint(OWNER.public_key)
FIRST_DAY = "2026-11-26"
DAYS = 3


class MadeEvent(NamedTuple):
    """One record of the log."""

    offset: int
    at_ms: int
    session: str
    record: bytes

    @property
    def leaf(self) -> bytes:
        """The bytes of its leaf."""
        return leaf_bytes(LeafKind.RECORD, self.at_ms, sha256(self.record).digest())


def events_of(count: int, sessions: int = 4, tenant: str = "acme") -> list[MadeEvent]:
    """Return *count* events of some sessions in turn, over `DAYS` days and the beginning of another."""
    start, step = first_ms(FIRST_DAY), (DAYS * DAY_MS + 3_600_000) // max(count - 1, 1)
    made: list[MadeEvent] = []
    for at in range(count):
        session = f"session-{at % sessions}"
        record = {"place": at, "session_id": session, "tenant_id": tenant, "text": "x" * 500}
        made.append(MadeEvent(at, start + at * step, session, json.dumps(record).encode()))
    return made


class MadeLog:
    """A log of those events in one partition, and another in which the sessions are not."""

    def __init__(self, count: int = 40, sessions: int = 4) -> None:
        self.events = events_of(count, sessions)
        self.leaves = [leaf_hash(each.leaf) for each in self.events]
        self.policy = Policy(log_name=LOG, version=1, log_keys=(_log_key(),))
        self.policies = [note_signed(self.policy.text, OWNER, owner_name(LOG))]
        self.checkpoint = Checkpoint(ORIGIN, count, root_of(self.leaves))
        self.manifests = [self._manifest(day) for day in range(DAYS)]
        self.empty = [Manifest(Header(OTHER, day, 0, 0, 0), []) for day in self._days()]
        anchored = [each.as_anchored for each in (*self.manifests, *self.empty)]
        self.anchor = Anchor(
            log_name=LOG,
            number=1,
            at_ms=self.events[-1].at_ms + 1000,
            policy_version=1,
            policy_sha256=self.policy.sha256,
            checkpoints=(self.checkpoint, Checkpoint(OTHER, 1, HOLE_HASH)),
            manifests=tuple(sorted(anchored)),
        )

    def evidence(self, events: Sequence[MadeEvent], session: str | None = None) -> Evidence:
        """Return what a bundle of *events* is made of, all of *session* where one is given."""
        note = note_signed(self.checkpoint.text, LOG_KEY, ORIGIN)
        bundled = [
            BundledEvent(ORIGIN, each.offset, each.record, self._proof(each, note).text)
            for each in events
        ]
        shown = [
            manifest.show(session_key(manifest.header.origin, manifest.header.day, "acme", session))
            for manifest in (*self.manifests, *self.empty)
            if session is not None
        ]
        return Evidence(
            log_name=LOG,
            owner_key=OWNER.public_key,
            made_at_ms=self.anchor.at_ms,
            events=bundled,
            policies=self.policies,
            anchors={1: note_signed(self.anchor.text, LOG_KEY, anchor_name(LOG))},
            session=None if session is None else BundledSession("acme", session),
            manifests=shown,
        )

    def whole_session(self, session: str) -> Evidence:
        """Return the evidence of all events of a session on the days that have manifests."""
        end = self.manifests[-1].header.end_offset
        mine = [each for each in self.events if each.session == session and each.offset < end]
        return self.evidence(mine, session)

    def _proof(self, event: MadeEvent, note: str) -> TlogProof:
        parts = inclusion_intervals(event.offset, len(self.events))
        hashes = tuple(root_of(self.leaves[start:end]) for start, end in parts)
        return TlogProof(event.leaf, event.offset, hashes, note)

    def _days(self) -> list[str]:
        first = dt.date.fromisoformat(FIRST_DAY)
        return [(first + dt.timedelta(days=at)).isoformat() for at in range(DAYS)]

    def _manifest(self, number: int) -> Manifest:
        day = self._days()[number]
        mine = [each for each in self.events if day_of(each.at_ms) == day]
        entries = [
            Entry(session_key(ORIGIN, day, "acme", session), len(leaves), root_of(leaves))
            for session in sorted({each.session for each in mine})
            for leaves in [[self.leaves[e.offset] for e in mine if e.session == session]]
        ]
        header = Header(ORIGIN, day, mine[0].offset, mine[-1].offset + 1, len(entries))
        return Manifest(header, entries)


def _log_key() -> LogKey:
    return LogKey(public_key=base64.b64encode(LOG_KEY.public_key).decode())
