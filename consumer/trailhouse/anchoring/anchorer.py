"""Anchors once: reads again what is new, signs how large each log is, and hands it to those who keep it.

An anchor of a number is made by one: two who anchor at once both offer theirs to ClickHouse, the first counts, and the
other goes on from it. Only what is stored there is handed on, in the order of the numbers; who was away is given what
he has missed. A place that is ahead of ClickHouse, as after a backup was restored, is read: the chain goes on from it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from trailhouse.anchoring.anchor_store import AnchorStore, Receipt, StoredAnchor
from trailhouse.anchoring.log_check import LogCheck
from trailhouse.anchoring.log_growth import Misfit
from trailhouse.anchoring.stored_log import StoredLog, stored_logs
from trailhouse.anchoring.writers.writer import AnchorWriter
from trailhouse.proof.anchor import FIRST, Anchor, ManifestRoot, anchor_name, file_sha256
from trailhouse.proof.anchor_chain import broken_rules, signed_anchor
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import Signer, is_signed_by, note_signed
from trailhouse.proof.merkle import CompactRange
from trailhouse.schemas.errors import AnchorError, ProofError
from trailhouse.store.clickhouse import ClickHouse

MISSED_AT_ONCE = 1_000
"""Of anchors that a place has missed, so many are handed to it in one go."""


class PolicyInForce(NamedTuple):
    """The version and hash of a policy, and the public keys of the log that it names."""

    version: int
    sha256: str
    log_keys: tuple[bytes, ...]


NO_POLICY = PolicyInForce(0, FIRST, ())


class AnchorRun(NamedTuple):
    """What came of anchoring once.

    Attributes:
        anchor: The anchor that is now the last, this process's or that of another who anchored at the same time.
        is_ours: Whether this process made it.
        misfits: Why logs were anchored no further than they were.
        failures: By the name of a place that keeps anchors, why it does not have this one.
    """

    anchor: StoredAnchor
    is_ours: bool
    misfits: tuple[Misfit, ...]
    failures: Mapping[str, str]


class Anchorer:
    """Anchors the logs of *log_name* in one ClickHouse; for one thread."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        log_name: str,
        signer: Signer,
        writers: Sequence[AnchorWriter] = (),
        policy: Callable[[], PolicyInForce] = lambda: NO_POLICY,
        manifests: Callable[[Anchor | None], Iterable[ManifestRoot]] = lambda _: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clickhouse = clickhouse
        self._log_name = log_name
        self._signer = signer
        self._writers = writers
        self._policy = policy
        self._manifests = manifests
        self._clock = clock
        self._check = LogCheck(clickhouse)
        self._trees: dict[str, CompactRange] = {}
        self._delivered: dict[str, int] = {}

    def run(self) -> AnchorRun:
        """Anchor once.

        Delivery:
            On return the anchor is stored in ClickHouse, and kept by every place that `failures` does not name.

        Raises:
            SigningError: The key cannot be used now. Retriable; nothing was anchored.
            ProofError: The anchors that are stored contradict each other. Permanent until somebody mends that.
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        policy = self._policy()
        store = AnchorStore(
            self._clickhouse, self._log_name, {self._signer.public_key, *policy.log_keys}
        )
        failures: dict[str, str] = {}
        last = self._caught_up(store, policy, failures)
        anchor, misfits = self._next(last, policy)
        content = note_signed(anchor.text, self._signer, anchor_name(self._log_name))
        first = store.claim(anchor.number, content)
        self._deliver(store, first, failures)
        return AnchorRun(first, first.content == content, misfits, failures)

    def _next(
        self, last: StoredAnchor | None, policy: PolicyInForce
    ) -> tuple[Anchor, tuple[Misfit, ...]]:
        """Return the anchor that follows *last*, and what kept logs from being anchored further."""
        checkpoints, misfits = self._checkpoints(last)
        before = last.anchor if last is not None else None
        at_ms = round(self._clock() * 1_000)
        anchor = Anchor(
            log_name=self._log_name,
            number=before.number + 1 if before is not None else 1,
            # A clock that was put back must not break the chain; how far it is off is told by who holds anchors.
            at_ms=max(at_ms, before.at_ms) if before is not None else at_ms,
            policy_version=policy.version,
            policy_sha256=policy.sha256,
            previous_sha256=file_sha256(last.content) if last is not None else FIRST,
            checkpoints=tuple(sorted(checkpoints)),
            manifests=tuple(sorted(self._manifests(before))),
        )
        if last is not None and (broken := broken_rules(last.anchor, last.content, anchor)):
            raise ProofError(f"anchor {anchor.number} would contradict the one before: {broken[0]}")
        return anchor, misfits

    def _checkpoints(
        self, last: StoredAnchor | None
    ) -> tuple[list[Checkpoint], tuple[Misfit, ...]]:
        """Return the largest checkpoint of each log that fits; the anchored one where nothing more does."""
        anchored = {each.origin: each for each in last.anchor.checkpoints} if last else {}
        misfits: list[Misfit] = []
        trees: dict[StoredLog, CompactRange] = {}
        for log in stored_logs(self._clickhouse):
            origin = str(log.origin(self._log_name))
            tree = self._known_tree(log, origin, anchored.get(origin))
            if isinstance(tree, Misfit):
                misfits.append(tree)
            else:
                trees[log] = tree
        for log, fit in self._check.grown(trees).items():
            origin = str(log.origin(self._log_name))
            if fit.misfit is not None:
                misfits.append(fit.misfit)
            if fit.good is not None:
                self._trees[origin] = fit.good
                anchored[origin] = Checkpoint(origin, fit.good.size, fit.good.root())
        return list(anchored.values()), tuple(misfits)

    def _known_tree(
        self, log: StoredLog, origin: str, anchored: Checkpoint | None
    ) -> CompactRange | Misfit:
        known = self._trees.get(origin)
        if known is None or anchored is None or anchored[1:] != (known.size, known.root()):
            return self._check.anchored_tree(log, anchored)
        return known

    def _caught_up(
        self, store: AnchorStore, policy: PolicyInForce, failures: dict[str, str]
    ) -> StoredAnchor | None:
        """Return the last anchor, once ClickHouse has those that any place kept and it has lost."""
        last = store.last()
        for writer in self._writers:
            if writer.name in self._delivered:
                continue
            try:
                last = self._adopt(store, policy, writer, last)
            except AnchorError as error:
                failures[writer.name] = str(error)
        return last

    def _adopt(
        self,
        store: AnchorStore,
        policy: PolicyInForce,
        writer: AnchorWriter,
        last: StoredAnchor | None,
    ) -> StoredAnchor | None:
        """Take over from *writer* the anchors after *last*, as long as they go on from it."""
        newest = writer.newest()
        keys = {self._signer.public_key, *policy.log_keys}
        known = min(newest, last.anchor.number if last is not None else 0)
        kept = store.at(known) if known else None
        if kept is not None and writer.read(known) != kept.content.encode():
            raise AnchorError(_other(writer, known))
        for number in range(known + 1, newest + 1):
            content = writer.read(number)
            try:
                anchor = signed_anchor(content or b"", keys, is_signed_by)
            except ProofError:
                raise AnchorError(_other(writer, number)) from None
            if content is None or anchor.number != number or anchor.log_name != self._log_name:
                raise AnchorError(_other(writer, number))
            text = content.decode()
            if last is not None and broken_rules(last.anchor, last.content, anchor):
                raise AnchorError(_other(writer, number))
            last = store.claim(number, text)
        self._delivered[writer.name] = newest
        return last

    def _deliver(self, store: AnchorStore, newest: StoredAnchor, failures: dict[str, str]) -> None:
        """Hand to each place what it has not been given yet, in order, and note who has taken it."""
        for writer in self._writers:
            if writer.name in failures or writer.name not in self._delivered:
                continue
            try:
                self._deliver_to(writer, store, newest)
            except AnchorError as error:
                failures[writer.name] = str(error)
                # What it has after a failure is asked anew.
                self._delivered.pop(writer.name, None)

    def _deliver_to(self, writer: AnchorWriter, store: AnchorStore, newest: StoredAnchor) -> None:
        first = self._delivered[writer.name] + 1
        missed = [newest]
        if first < newest.anchor.number:
            missed = store.since(first, MISSED_AT_ONCE)
        for stored in missed:
            number = stored.anchor.number
            kept = writer.write(number, stored.content.encode())
            if kept != stored.content.encode():
                raise AnchorError(_other(writer, number))
            self._delivered[writer.name] = number
            store.note(stored, [Receipt("written", writer.name)])


def _other(writer: AnchorWriter, number: int) -> str:
    return (
        f"{writer.name} has another anchor {number} than ClickHouse, or one that the log did not sign:"
        " compare them with `trailhouse verify --anchors`"
    )
