"""Anchors once: reads again what is new, signs how large each log is, and hands it to those who keep it.

An anchor of a number is made by one: two who anchor at once both offer theirs to ClickHouse, the first counts, and the
other goes on from it. Only what is stored there is handed on, in the order of the numbers; who was away is given what
he has missed. A place that is ahead of ClickHouse, as after a backup was restored, is read: the chain goes on from it.
"""

import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from trailhouse.anchoring.anchor_store import (
    AnchorStore,
    Countersigned,
    Keys,
    Receipt,
    StoredAnchor,
)
from trailhouse.anchoring.delivery import Delivery
from trailhouse.anchoring.kept_parts import kept_parts
from trailhouse.anchoring.log_check import LogCheck
from trailhouse.anchoring.log_growth import Contradiction
from trailhouse.anchoring.orders import Orders
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.anchoring.writers.writer import AnchorWriter
from trailhouse.proof.anchor import FIRST, Anchor, ManifestRoot, anchor_name, file_sha256
from trailhouse.proof.anchor_chain import broken_rules
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import Signer, note_signed, parse_public_key
from trailhouse.proof.merkle import CompactRange
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import AnchorError, ProofError
from trailhouse.store.clickhouse import ClickHouse


class Countersigner(Protocol):
    """Signs what an anchor says, as a witness or a time-stamp authority does. Each call waits a bounded time.

    Attributes:
        name: It as the settings name it.
        kind: ``witness`` or ``timestamp``.
    """

    name: str
    kind: str

    def countersign(self, stored: StoredAnchor) -> Countersigned:
        """Return what it has signed of *stored*.

        Raises:
            AnchorError: It is away, or refuses. Retriable.
        """
        ...


class AnchorRun(NamedTuple):
    """What came of anchoring once.

    Attributes:
        anchor: The anchor that is now the last, this process's or that of another who anchored at the same time.
        is_ours: Whether this process made it.
        contradictions: Why logs were anchored no further than they were.
        failures: Why a place does not have it, or somebody did not countersign it; by kind and name.
        receipts: Who keeps it, and what was signed of it.
        missing_cosignatures: How many of its logs have fewer cosignatures than the policy's quorum.
    """

    anchor: StoredAnchor
    is_ours: bool
    contradictions: tuple[Contradiction, ...]
    failures: Mapping[tuple[str, str], str]
    receipts: tuple[Receipt, ...]
    missing_cosignatures: int


class Anchorer:
    """Anchors the logs of *log_name* in one ClickHouse; for one thread."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        log_name: str,
        signer: Signer,
        writers: Sequence[AnchorWriter] = (),
        countersigners: Sequence[Countersigner] = (),
        policy: Callable[[], Policy | None] = lambda: None,
        manifests: Callable[[Anchor | None], Iterable[ManifestRoot]] = lambda _: (),
        erased: Callable[[], Container[bytes]] = frozenset,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clickhouse = clickhouse
        self._log_name = log_name
        self._signer = signer
        self._countersigners = countersigners
        self._policy = policy
        self._manifests = manifests
        self._clock = clock
        self._check = LogCheck(clickhouse, erased=erased)
        self._delivery = Delivery(writers)
        self._orders = Orders(clickhouse)
        self._trees: dict[str, CompactRange] = {}

    def run(self) -> AnchorRun:
        """Anchor once.

        Delivery:
            On return the anchor is stored in ClickHouse, and kept by every place that `failures` does not name.

        Raises:
            SigningError: The key cannot be used now. Retriable; nothing was anchored.
            ProofError: The anchors that are stored contradict each other, or the policy. Permanent until mended.
            ConfigError: The pin of the policy is malformed. Permanent.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        policy = self._policy()
        keys: Keys = partial(anchor_keys, policy, self._signer.public_key)
        store = AnchorStore(self._clickhouse, self._log_name, keys)
        last, failures = self._delivery.caught_up(store)
        anchor, contradictions = self._next(last, policy)
        if self._signer.public_key not in keys(anchor.number):
            raise ProofError(
                f"anchor {anchor.number}: the log's key signs no more anchors since another one follows in the policy:"
                " name that one as proof.key_file, and start the worker again"
            )
        content = note_signed(anchor.text, self._signer, anchor_name(self._log_name))
        first = store.claim(anchor.number, content)
        receipts, failed = self._delivery.deliver(store, first)
        failures |= failed
        for each in self._countersigners:
            try:
                signed = each.countersign(first)
            except AnchorError as error:
                failures[each.kind, each.name] = str(error)
            else:
                store.note(first, signed.receipts)
                receipts += signed.receipts
                if signed.failure:
                    failures[each.kind, each.name] = signed.failure
        return AnchorRun(
            first,
            first.content == content,
            contradictions,
            failures,
            tuple(receipts),
            _missing_cosignatures(first.anchor, policy, receipts),
        )

    def _next(
        self, last: StoredAnchor | None, policy: Policy | None
    ) -> tuple[Anchor, tuple[Contradiction, ...]]:
        """Return the anchor that follows *last*, and what kept logs from being anchored further."""
        checkpoints, contradictions = self._checkpoints(last)
        before = last.anchor if last is not None else None
        at_ms = round(self._clock() * 1_000)
        anchor = Anchor(
            log_name=self._log_name,
            number=before.number + 1 if before is not None else 1,
            # A clock that was put back must not break the chain; how far it is off is told by who holds anchors.
            at_ms=max(at_ms, before.at_ms) if before is not None else at_ms,
            policy_version=policy.version if policy is not None else 0,
            policy_sha256=policy.sha256 if policy is not None else FIRST,
            previous_sha256=file_sha256(last.content) if last is not None else FIRST,
            checkpoints=tuple(sorted(checkpoints)),
            manifests=tuple(sorted(self._manifests(before))),
            orders=self._orders.due(policy, before),
            parts=kept_parts(self._clickhouse, self._log_name, checkpoints, before),
        )
        if last is not None and (broken := broken_rules(last.anchor, last.content, anchor)):
            raise ProofError(f"anchor {anchor.number} would contradict the one before: {broken[0]}")
        return anchor, contradictions

    def _checkpoints(
        self, last: StoredAnchor | None
    ) -> tuple[list[Checkpoint], tuple[Contradiction, ...]]:
        """Return the largest checkpoint of each log that fits; the anchored one where nothing more does."""
        anchored = {each.origin: each for each in last.anchor.checkpoints} if last else {}
        contradictions: list[Contradiction] = []
        trees: dict[StoredLog, CompactRange] = {}
        for log in stored_logs(self._clickhouse):
            origin = str(log.origin(self._log_name))
            tree = self._known_tree(log, origin, anchored.get(origin))
            if isinstance(tree, Contradiction):
                contradictions.append(tree)
            else:
                trees[log] = tree
        for log, fit in self._check.grown(trees).items():
            origin = str(log.origin(self._log_name))
            if fit.contradiction is not None:
                contradictions.append(fit.contradiction)
            if fit.good is not None:
                self._trees[origin] = fit.good
                anchored[origin] = Checkpoint(origin, fit.good.size, fit.good.root())
        return list(anchored.values()), tuple(contradictions)

    def _known_tree(
        self, log: StoredLog, origin: str, anchored: Checkpoint | None
    ) -> CompactRange | Contradiction:
        known = self._trees.get(origin)
        if known is None or anchored is None or anchored[1:] != (known.size, known.root()):
            return self._check.anchored_tree(log, anchored)
        return known


def _missing_cosignatures(
    anchor: Anchor, policy: Policy | None, receipts: Sequence[Receipt]
) -> int:
    quorum = policy.quorum if policy is not None else 0
    cosigned = Counter(
        origin
        for origin, _ in {
            (each.origin, each.source) for each in receipts if each.kind == "cosigned"
        }
    )
    return sum(cosigned[each.origin] < quorum for each in anchor.checkpoints)


def anchor_keys(policy: Policy | None, own_key: bytes, number: int) -> set[bytes]:
    """Return the public keys that may sign the anchor of *number*: those that the policy names for it.

    And our own, where the policy does not know it: it is older than the key, then, or there is none.
    """
    if policy is None:
        return {own_key}
    named = {parse_public_key(each.public_key) for each in policy.anchor_keys(number)}
    known = {parse_public_key(each.public_key) for each in policy.log_keys}
    return named if own_key in known else {own_key, *named}
