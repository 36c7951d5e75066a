"""Bundles of stored events: gathers records, proofs, anchors, manifests and policies into one file."""

import datetime as dt
import errno
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from trailhouse.anchoring.anchor_store import StoredAnchor
from trailhouse.anchoring.day_manifests import StoredDay, stored_days, stored_manifest
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.operate.prove.bundle_files import (
    BundledEvent,
    BundledSession,
    Evidence,
    bundle_of,
)
from trailhouse.operate.prove.covering import EARLIER_MS
from trailhouse.operate.prove.proving import ProvenEvent, Prover
from trailhouse.operate.prove.stored_events import (
    KEY_BYTES,
    LoggedEvent,
    StoredEvent,
    copies_of,
    events_of_session,
    logged,
)
from trailhouse.proof.anchor import Anchor, ManifestRoot
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.manifest import DAY_MS, ShownSession, day_of, first_ms, session_key
from trailhouse.schemas.errors import ConfigError, ProofError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.policies import pinned_owner


class Bundled(NamedTuple):
    """What became of it: how many events, of which days manifests show them all, and what has no proof.

    Attributes:
        erased: How many of the events were erased: their proofs are in it, their records are gone.
    """

    content: bytes
    events: int
    days: tuple[str, ...]
    is_signed: bool
    without_leaf: int
    erased: int


def bundle_session(
    clickhouse: ClickHouse,
    config: ProofConfig,
    session_id: str,
    tenant_id: str = "",
    *,
    file_name: str = "bundle.zip",
) -> Bundled:
    """Return the bundle of all events of one tenant's session: whole where manifests list its days.

    A session that is not there is shown not to be, on the days of which there are manifests.

    Args:
        clickhouse: Where the log is stored.
        config: The settings of proof; they pin the owner.
        session_id: The session.
        tenant_id: Whose; "" for events of no tenant.
        file_name: What the readme calls the file.

    Raises:
        ConfigError: No log is named, or no owner pinned. Permanent.
        ProofError: An event is not signed yet, no policy is stored, or it would be too large. Permanent.
        IntegrityError: Stored leaves contradict what was signed. Permanent: `trailhouse verify` finds where.
        SigningError, StorageError: The key, or ClickHouse, is away (retriable), or refuses (permanent).
    """
    prover = Prover(clickhouse, config)
    events = events_of_session(clickhouse, session_id, tenant_id=tenant_id)
    found, missing = logged(clickhouse, events)
    shown = _Shown(prover, events, session_id, tenant_id)
    manifests, anchors = shown.of_all_logs(found)
    leaves = {(each.log, each.offset, each.leaf): each for each in (*shown.copies, *found)}
    proven = prover.proven([leaves[place] for place in sorted(leaves)])
    session = BundledSession(tenant_id, session_id)
    content = _bundle(prover, config, proven, anchors, manifests, session, file_name)
    days = tuple(sorted({each.header.day for each in manifests}))
    return Bundled(
        content, len(proven), days, prover.signer is not None, len(missing), _erased(proven)
    )


def bundle_events(
    clickhouse: ClickHouse,
    config: ProofConfig,
    wanted: Iterable[tuple[str, str]],
    *,
    tenant_id: str | None = None,
    file_name: str = "bundle.zip",
) -> Bundled:
    """Return the bundle of the events of these sessions and ids; that they are all, the log's signature alone says.

    Raises:
        ConfigError, ProofError, IntegrityError, SigningError, StorageError: As `bundle_session`.
    """
    prover = Prover(clickhouse, config)
    by_session: dict[str, set[str]] = {}
    for session, event_id in wanted:
        by_session.setdefault(session, set()).add(event_id)
    events = [
        each
        for session, ids in by_session.items()
        for each in events_of_session(clickhouse, session, tenant_id=tenant_id)
        if each.event_id in ids
    ]
    found, missing = logged(clickhouse, events)
    first: dict[bytes, LoggedEvent] = {}
    for each in found:
        first.setdefault(each.digest, each)
    proven = prover.proven(list(first.values()))
    content = _bundle(prover, config, proven, (), (), None, file_name)
    without = {each.key for each in missing} - {digest[:KEY_BYTES] for digest in first}
    return Bundled(
        content, len(proven), (), prover.signer is not None, len(without), _erased(proven)
    )


def _erased(proven: Sequence[ProvenEvent]) -> int:
    return sum(each.logged.event.record is None for each in proven)


def write_bundle(path: Path, content: bytes) -> None:
    """Write *content* to *path*, which must not be there; on return it is on the disk.

    Raises:
        FileExistsError: It is there already.
        OSError: It cannot be written; nothing is left of it.
    """
    partial = path.with_name(path.name + ".part")
    if path.exists():
        raise FileExistsError(errno.EEXIST, "is there already, and is left as it is", str(path))
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename, it never takes another's place
    finally:
        partial.unlink(missing_ok=True)


class _Shown:
    """The manifests that show one session, and the copies of its events that only they tell of."""

    def __init__(
        self, prover: Prover, events: Sequence[StoredEvent], session_id: str, tenant_id: str
    ) -> None:
        self._prover = prover
        self._clickhouse = prover.clickhouse
        self._events = events
        self._session = (tenant_id, session_id)
        self.copies: list[LoggedEvent] = []

    def of_all_logs(
        self, found: Sequence[LoggedEvent]
    ) -> tuple[list[ShownSession], list[StoredAnchor]]:
        """Return the parts of manifests of each log, of the days from the session's first to its last, and anchors."""
        days = sorted(day_of(int.from_bytes(each.leaf[1:9], "big")) for each in found)
        shown: list[ShownSession] = []
        anchors: list[StoredAnchor] = []
        for log in stored_logs(self._clickhouse):
            for day in stored_days(self._clickhouse, log):
                if days and not days[0] <= day.day <= days[-1]:
                    continue
                anchor = self._anchor(log, day)
                if anchor is not None:
                    anchors.append(anchor)
                    shown.append(self._one(log, day, found))
        return shown, anchors

    def _one(self, log: StoredLog, day: StoredDay, found: Sequence[LoggedEvent]) -> ShownSession:
        origin = str(log.origin(self._prover.log_name))
        manifest = stored_manifest(self._clickhouse, log, origin, day)
        shown = manifest.show(session_key(origin, day.day, *self._session))
        mine = [e for e in found if e.log == log and day.first_offset <= e.offset < day.end_offset]
        entries = [each.entry for each in shown.entries]
        key = session_key(origin, day.day, *self._session)
        listed = entries[0].leaves if len(entries) == 1 and entries[0].key == key else 0
        if listed > len(mine):
            by_digest = {sha256(e.record).digest(): e for e in self._events if e.record}
            by_digest |= {e.digest: e.event for e in found}
            self.copies += copies_of(
                self._clickhouse, log, by_digest, day.first_offset, day.end_offset
            )
        return shown

    def _anchor(self, log: StoredLog, day: StoredDay) -> StoredAnchor | None:
        origin = str(log.origin(self._prover.log_name))
        wanted = ManifestRoot(day.day, origin, day.sessions, day.root)

        def names(anchor: Anchor) -> bool:
            return wanted in anchor.manifests

        # Who anchors lists a day once it is over by his own clock.
        after_ms = first_ms(day.day) + DAY_MS - EARLIER_MS
        line = f"\n{day.day} {origin} "
        return next(self._prover.covers.anchored(after_ms, names, line), None)


def _bundle(
    prover: Prover,
    config: ProofConfig,
    proven: Sequence[ProvenEvent],
    anchors: Sequence[StoredAnchor],
    manifests: Sequence[ShownSession],
    session: BundledSession | None,
    file_name: str,
) -> bytes:
    policies = _policies(prover, config)
    named = {each.anchor.number: each for each in anchors}
    named |= {each.anchor.anchor.number: each.anchor for each in proven if each.anchor}
    store = prover.covers.anchors
    tokens = {
        number: [r.receipt for r in store.receipts(anchor) if r.kind == "timestamped"]
        for number, anchor in named.items()
    }
    evidence = Evidence(
        log_name=prover.log_name,
        owner_key=pinned_owner(config),
        made_at_ms=round(dt.datetime.now(dt.UTC).timestamp() * 1000),
        events=[
            BundledEvent(each.origin, each.logged.offset, each.logged.event.record, each.proof.text)
            for each in proven
        ],
        policies=policies,
        anchors={number: anchor.content for number, anchor in named.items()},
        tokens=tokens,
        session=session,
        manifests=sorted(manifests, key=lambda each: (each.header.origin, each.header.day)),
    )
    return bundle_of(evidence, prover.signer, file_name)


def _policies(prover: Prover, config: ProofConfig) -> list[str]:
    if not config.owner_key:
        raise ConfigError(
            "proof.owner_key: is not set: a bundle is checked against its owner's key"
        )
    if prover.chain is None or prover.chain.current is None:
        raise ProofError("no policy is stored: `trailhouse proof init` makes one")
    last = prover.chain.current.version
    found = [prover.chain.contents.get(version) for version in range(1, last + 1)]
    if None in found:
        raise ProofError("a version of the policy is not stored: `trailhouse verify` tells which")
    return [each for each in found if each is not None]
