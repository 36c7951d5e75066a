"""One run of `verify`: what its duties share: ClickHouse, what was asked for, the policies, the logs, their roots."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import local
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import structs

from trailhouse.operate.verify.anchored.anchored import Anchored, anchored_by, stored_anchors
from trailhouse.operate.verify.anchored.outside_anchors import outside_anchors
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.leaves.accepting import Accepting
from trailhouse.operate.verify.leaves.checkpoints import is_signed_by_log
from trailhouse.operate.verify.leaves.place_sums import PartitionKey
from trailhouse.operate.verify.leaves.walk import LeafWalk
from trailhouse.operate.verify.logs import LogId, all_logs, in_order, log_of
from trailhouse.operate.verify.once import Once
from trailhouse.operate.verify.rows.matching import Matching
from trailhouse.operate.verify.rows.orders_by_now import OrdersByNow
from trailhouse.operate.verify.rows.processes import RowReaders
from trailhouse.operate.verify.rows.scan import RowScan
from trailhouse.operate.verify.rows.unseen import firsts_of
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.note import Note
from trailhouse.proof.policy import BEFORE_PROOF, Accepted, Policy
from trailhouse.proof.policy_chain import PolicyChain
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import StoredOrders
from trailhouse.store.policies import stored_policies

_Value = TypeVar("_Value")


class Said(NamedTuple, Generic[_Value]):
    """What several duties ask for, why some of it could not be checked, and what it rests on besides the keys."""

    value: _Value
    reasons: tuple[str, ...]
    trusted: tuple[str, ...]


class _AtHand(local):
    """What the duty that this thread does has said."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.trusted: list[str] = []
        self.accepted: list[Accepted] = []


class Run:
    """Handed to every duty; duties in several threads share it, each does one at a time.

    Attributes:
        clickhouse: Asked with patience: a statement may take ten minutes.
        scope: What was asked for.
        is_quick: Whether ClickHouse may hash.
        proof: The settings, of which `owner_key` is the auditor's pin.
        anchors: Where copies of the anchors are kept outside, such as ``folder:/path``; empty for nowhere.
        since: What an earlier run has established, by log: only what came after it is looked at.
        readers: Read the rows that are held against their records.
        tell: Told what is being done.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        proof: ProofConfig,
        scope: Scope | None = None,
        is_quick: bool = False,
        anchors: str = "",
        since: Mapping[LogId, Kept] | None = None,
        readers: RowReaders | None = None,
        tell: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.clickhouse = clickhouse
        self.readers = readers or RowReaders()
        self.scope = scope or Scope()
        self.is_quick = is_quick
        self.proof = proof
        self.anchors = anchors
        self.since = dict(since or {})
        self.tell = tell
        self._at_hand = _AtHand()
        self._steps: dict[Callable[[Run], Any], _Step] = {}
        self.manifests_ends: dict[LogId, int] = {}
        """By log, below which offset this run has found the manifest of each day to be the stored one."""
        self.unprotected: dict[str, list[int]] = {}
        """By reason, the anchors kept outside that are not protected as their place promises; once they are read."""

    def begin(self, reasons: Sequence[str] = ()) -> None:
        """Begin a duty in this thread: what could not be checked of it until now are *reasons*."""
        at_hand = self._at_hand
        at_hand.reasons, at_hand.trusted, at_hand.accepted = list(reasons), [], []

    @property
    def reasons(self) -> list[str]:
        """Why the duty at hand could not check a part of what it should."""
        return self._at_hand.reasons

    @property
    def trusted(self) -> list[str]:
        """What the verdict of the duty at hand rests on besides the keys."""
        return self._at_hand.trusted

    def shared(self, step: Callable[["Run"], _Value]) -> "Said[_Value]":
        """Return what *step* returns for this run, and what it has said; it is done once, for all duties that ask.

        Raises:
            Exception: What it has raised, whoever asks.
        """
        once = self._steps.setdefault(step, _Step(self, step))
        said: Said[_Value] = once.said
        return said

    def said_in(self, step: Callable[["Run"], _Value]) -> "Said[_Value]":
        """Do *step*; what it says is not the duty's at hand."""
        at_hand = self._at_hand
        mine = at_hand.reasons, at_hand.trusted, at_hand.accepted
        self.begin()
        try:
            return Said(step(self), tuple(self.reasons), tuple(self.trusted))
        finally:
            at_hand.reasons, at_hand.trusted, at_hand.accepted = mine

    def repeat(self, said: "Said[_Value]") -> _Value:
        """Say for the duty at hand what was *said*; return what was worked out."""
        for reason in said.reasons:
            self.cannot(reason)
        for what in said.trusted:
            self.trusts(what)
        return said.value

    def cannot(self, reason: str) -> None:
        """Say that the duty at hand could not check a part of what it should, and go on with the rest."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def trusts(self, what: str) -> None:
        """Say what the verdict of the duty at hand rests on besides the keys."""
        if what not in self.trusted:
            self.trusted.append(what)

    def accept(self, accepted: Accepted) -> None:
        """Say what the duty at hand takes as signed since the owner accepts it as it stands."""
        self._at_hand.accepted.append(accepted)

    @property
    def accepted(self) -> list[Accepted]:
        """What the duty at hand takes as signed since the owner accepts it."""
        return self._at_hand.accepted

    @Once
    def logs(self) -> tuple[LogId, ...]:
        """Every log, the generations of a partition in their order."""
        return all_logs(self.clickhouse)

    def log_of(self, origin: str) -> LogId | None:
        """Return the log that goes by the name *origin*; None where there is none."""
        return log_of(origin, self.logs)

    @Once
    def policies(self) -> PolicyChain:
        """Every stored policy that the pinned owner has signed.

        Raises:
            CannotCheckError: No owner's key is pinned.
            ConfigError, StorageError: As `stored_policies`.
        """
        if not self.proof.owner_key:
            raise CannotCheckError(
                "no owner's key is pinned: set proof.owner_key to the key whose fingerprint you were given"
            )
        return stored_policies(self.clickhouse, self.proof)

    @property
    def policy(self) -> Policy:
        """The policy in force.

        Raises:
            CannotCheckError: No owner's key is pinned, or none of the stored policies is signed by it.
            ConfigError, StorageError: As `stored_policies`.
        """
        current = self.policies.current
        if current is None:
            raise CannotCheckError("no stored policy is signed by the owner's key that is pinned")
        return current

    def is_signed(self, checkpoint: Checkpoint, note: Note) -> bool | None:
        """Tell whether a log key that counts for *checkpoint* has signed it, as *note*; None where no policy says."""
        try:
            return is_signed_by_log(self.policy, checkpoint, note)
        except CannotCheckError:
            return None

    @Once
    def anchored(self) -> Anchored:
        """What the stored anchors that count say.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        try:
            policy = self.policy
        except CannotCheckError:  # the duties that need one say so
            return Anchored()
        # An anchor is stored before others keep it: read the other way round, none of a running worker seems gone.
        with suppress(CannotCheckError):  # the duties that need the copies say so
            _ = self.anchored_outside
        return anchored_by(stored_anchors(self.clickhouse), policy, self.log_of)

    @Once
    def anchored_outside(self) -> Anchored:
        """What the copies of the anchors say that are kept outside; nothing where no place was given.

        Raises:
            CannotCheckError: They cannot be read.
        """
        try:
            policy = self.policy
        except CannotCheckError:
            return Anchored()
        contents = outside_anchors(self.anchors, self._note_unprotected) if self.anchors else ()
        return anchored_by(contents, policy, self.log_of)

    def _note_unprotected(self, number: int, reason: str) -> None:
        self.unprotected.setdefault(reason, []).append(number)

    @Once
    def roots(self) -> LeafWalk:
        """The roots of all logs, worked out from their leaves: `want` them in `prepare`, take them `at` a size."""
        accepting = self._accepting
        earlier = (log for log in accepting if log.generation == BEFORE_PROOF)
        return LeafWalk(
            self.clickhouse,
            sorted({*self.logs, *earlier}, key=in_order),
            self.since,
            self.is_signed,
            self.tell,
            self.scope.times_ms,
            accepting,
            is_quick=self.is_quick,
        )

    @property
    def _accepting(self) -> dict[LogId, Accepting]:
        try:
            return {LogId(*each.log): Accepting.of(each) for each in self.policy.accepted}
        except CannotCheckError:
            return {}

    @property
    def is_part(self) -> bool:
        """Whether some rows of every stretch of time are left out: leaves do not say which."""
        return self.scope.session_id is not None or self.scope.tenant_id is not None

    @property
    def firsts(self) -> Mapping[PartitionKey, int]:
        """Below which offset of each partition an earlier run has seen everything; nothing where there was none.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return firsts_of(self.roots.walked()) if self.since else {}

    def manifests_end(self, log: LogId) -> int:
        """Return below which offset of *log* an earlier run has made the manifest of each day again.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        kept = self.since.get(log)
        walked = self.roots.walked().get(log) if kept else None
        return min(kept.manifests_end, walked.first) if kept and walked else 0

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What a later run may go on from.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return tuple(
            structs.replace(
                each,
                manifests_end=self.manifests_ends.get(each.log, self.manifests_end(each.log)),
            )
            for each in self.roots.kept
        )

    @Once
    def scan(self) -> RowScan:
        """What was seen of the rows that are asked for.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        self.roots.walked()
        self.tell("rows of event_log and event_quarantine")
        scan = RowScan(
            self.clickhouse,
            self.scope,
            self.roots,
            self.readers,
            is_part=self.is_part,
        )
        scan.is_quick = self.is_quick
        scan.erased = self.erased_by_key
        scan.erased_by_now = self.erased
        return scan.go()

    @Once
    def matching(self) -> Matching:
        """What is wrong between rows and leaves.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        scan = self.scan
        matching = Matching(self.clickhouse, self.roots, scan, self.erased, self.tell)
        if self.is_part:
            matching.match_part(scan.coordinates)
        else:
            matching.match()
        if not self.is_part:
            matching.tell_strangers(self.scope)
        return matching

    @property
    def orders(self) -> StoredOrders:
        """The stored orders of erasure and holds; without a policy nobody may order.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return self._orders_by_now.stored

    @property
    def erased_by_key(self) -> Mapping[bytes, bytes]:
        """The SHA-256 of each record that an operator has ordered to be erased by now, by the key that its row keeps.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return self._orders_by_now.by_key()

    def erased(self, digests: Sequence[bytes]) -> set[bytes]:
        """Return which of *digests* an operator of the policy has ordered to be erased by now.

        Raises:
            StorageError: ClickHouse is away (retriable) or refuses (permanent).
        """
        return self._orders_by_now.erased(digests)

    @Once
    def _orders_by_now(self) -> OrdersByNow:
        _ = self.anchored  # first: an order is stored before an anchor names it
        try:
            return OrdersByNow(self.clickhouse, self.policy)
        except CannotCheckError:
            return OrdersByNow(self.clickhouse, None)


class _Step:
    """A step that several duties share."""

    def __init__(self, run: Run, step: Callable[[Run], Any]) -> None:
        self._run = run
        self._step = step

    @Once
    def said(self) -> Said[Any]:
        """What became of it."""
        return self._run.said_in(self._step)
