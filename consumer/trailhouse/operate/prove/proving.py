"""Proofs of events: found leaves, the hashes that lead from each to a signed checkpoint, and that they do."""

import base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trailhouse.anchoring.anchor_store import StoredAnchor
from trailhouse.anchoring.log_signer import has_log_key
from trailhouse.anchoring.log_signer import log_signer as signer_of_settings
from trailhouse.anchoring.stored_log import StoredLog
from trailhouse.anchoring.tree_reader import TreeReader
from trailhouse.operate.prove.covering import Cover, Covers, keys_of_log
from trailhouse.operate.prove.stored_events import (
    LoggedEvent,
    StoredEvent,
    event_by_its_time,
    events_of_session,
    logged,
)
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import Signer
from trailhouse.proof.merkle import Interval, inclusion_intervals, leaf_hash, root_by_inclusion
from trailhouse.proof.policy_chain import PolicyChain
from trailhouse.proof.tlog_proof import TlogProof
from trailhouse.query import AuditReader
from trailhouse.schemas.errors import ConfigError, IntegrityError, ProofError, SigningError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.policies import stored_policies

EVENTS_AT_ONCE = 50


class ProvenEvent(NamedTuple):
    """An event, and the proof of its leaf."""

    logged: LoggedEvent
    origin: str
    proof: TlogProof
    anchor: StoredAnchor | None


class Prover:
    """Proves events of the log that the settings name.

    Raises:
        ConfigError: The settings name no log, or a pin that is none. Permanent.
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """

    def __init__(self, clickhouse: ClickHouse, config: ProofConfig) -> None:
        if not config.log_name:
            raise ConfigError(
                "proof.log_name: is not set, so that nothing is signed: `trailhouse proof init`"
            )
        self.clickhouse = clickhouse
        self.log_name = config.log_name
        self.signer = log_signer(config)
        self.chain = stored_policies(clickhouse, config) if config.owner_key else None
        own = self.signer.public_key if self.signer else None
        self.covers = Covers(clickhouse, self.log_name, keys_of_log(_log_keys(self.chain), own))

    def proven(self, events: Sequence[LoggedEvent]) -> list[ProvenEvent]:
        """Return the proof of each of *events*, all of one log to one checkpoint.

        Raises:
            ProofError: No signed checkpoint covers one of them, as in the second after its commit. Permanent.
            IntegrityError: The stored leaves do not lead to the root that was signed. Permanent: `trailhouse verify`.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        found: list[ProvenEvent] = []
        for log in dict.fromkeys(each.log for each in events):
            mine = [each for each in events if each.log == log]
            last = max(mine, key=lambda each: each.offset)
            cover = self.covers.of(log, last.offset, int.from_bytes(last.leaf[1:9], "big"))
            if cover is None:
                raise ProofError(
                    f"no signed checkpoint of {log.origin(self.log_name)} reaches offset {last.offset} yet"
                )
            found += self._proven(log, mine, cover)
        return found

    def _proven(
        self, log: StoredLog, events: Sequence[LoggedEvent], cover: Cover
    ) -> Iterable[ProvenEvent]:
        origin, size = str(log.origin(self.log_name)), cover.checkpoint.size
        reader = TreeReader(self.clickhouse, log)
        for start in range(0, len(events), EVENTS_AT_ONCE):
            part = events[start : start + EVENTS_AT_ONCE]
            paths = [inclusion_intervals(each.offset, size) for each in part]
            wanted = list(dict.fromkeys(interval for path in paths for interval in path))
            known: dict[Interval, bytes] = dict(zip(wanted, reader.hashes(wanted), strict=True))
            for each, path in zip(part, paths, strict=True):
                hashes = tuple(known[interval] for interval in path)
                root = root_by_inclusion(leaf_hash(each.leaf), each.offset, size, hashes)
                if root != cover.checkpoint.root:
                    raise IntegrityError(
                        f"{origin}: its stored leaves do not lead to the root that was signed at {size}"
                        " leaves: `trailhouse verify` finds where"
                    )
                proof = TlogProof(each.leaf, each.offset, hashes, cover.note)
                yield ProvenEvent(each, origin, proof, cover.anchor)


def prove_event(
    clickhouse: ClickHouse, config: ProofConfig, event_id: str, tenant_id: str | None = None
) -> list[ProvenEvent]:
    """Return the proof of the event of that id; none where there is none, several where contents conflict.

    Raises:
        ProofError: It has no leaf, since it was stored before there were any, or by hand; or is not signed. Permanent.
        ConfigError, IntegrityError, StorageError: As `Prover`.
    """
    prover = Prover(clickhouse, config)
    events = event_by_its_time(clickhouse, event_id, tenant_id) or _events_anywhere(
        clickhouse, event_id, tenant_id
    )
    found, missing = logged(clickhouse, events)
    if missing and not found:
        raise ProofError(
            f"{len(missing)} row of the event has no leaf in the log: it was stored before leaves were,"
            " or by somebody else: `trailhouse verify` tells"
        )
    # Copies of one record are proven once: that which came first.
    first: dict[bytes, LoggedEvent] = {}
    for each in found:
        first.setdefault(each.digest, each)
    return prover.proven(list(first.values()))


def _events_anywhere(
    clickhouse: ClickHouse, event_id: str, tenant_id: str | None
) -> list[StoredEvent]:
    with AuditReader(tenant_id, config=clickhouse.config) as reader:
        sessions = {found.session_id for found in reader.get_event(event_id).items}
    return [
        each
        for session in sorted(sessions)
        for each in events_of_session(clickhouse, session, tenant_id=tenant_id, event_id=event_id)
    ]


def log_signer(config: ProofConfig) -> Signer | None:
    """Return who signs by the log's key; None where the settings name none, or it cannot be read here."""
    if not has_log_key(config):
        return None
    try:
        return signer_of_settings(config)
    except SigningError:
        return None


def _log_keys(chain: PolicyChain | None) -> list[bytes]:
    if chain is None or chain.current is None:
        return []
    return [base64.b64decode(each.public_key) for each in chain.current.log_keys]
