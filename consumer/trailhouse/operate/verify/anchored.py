"""What the stored anchors say that count: sizes and roots of logs, times, policies; read once a run."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from trailhouse.operate.verify.anchor_chain import AnchorChain, Fault
from trailhouse.operate.verify.logs import LogId
from trailhouse.proof.anchor import Anchor, ManifestRoot, anchor_name, file_sha256, parse_anchor
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

MAX_ANCHOR_BYTES = 16 * 1024 * 1024
MOST_FAULTS = 10_000
_PAGE = 1_000

_SQL = f"""
    SELECT number, anchor FROM log_anchors
    WHERE (number, anchor) > ({{number:UInt64}}, {{text:String}}) AND length(anchor) <= {MAX_ANCHOR_BYTES}
    ORDER BY number, anchor LIMIT 1 BY number, anchor LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter


class StoredAnchor(NamedTuple):
    """A row of `log_anchors`: its number, its file, and what that says: None where no key of the log signed it."""

    number: int
    content: str
    anchor: Anchor | None


class Times:
    """Of one log: how many leaves each anchor covers, and when it was made; both rise."""

    def __init__(self) -> None:
        self._sizes = array("Q")
        self._at_ms = array("q")
        self._numbers = array("Q")

    def add(self, size: int, at_ms: int, number: int) -> None:
        """Take in an anchor; one that covers no more than those before says nothing new."""
        if not self._sizes or size > self._sizes[-1]:
            self._sizes.append(size)
            self._at_ms.append(at_ms)
            self._numbers.append(number)

    def covering(self, offset: int) -> int | None:
        """Return the number of the first anchor that covers the leaf at *offset*; None where none does."""
        place = bisect_right(self._sizes, offset)
        return self._numbers[place] if place < len(self._numbers) else None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._sizes, self._at_ms, strict=True))


def stored_anchors(clickhouse: ClickHouse, policy: Policy) -> Iterator[StoredAnchor]:
    """Yield the stored anchors by number, one that is stored twice once.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    number, text = 0, ""
    while True:
        rows = clickhouse.query(_SQL, {"number": number, "text": text}).rows
        for number, text in rows:
            yield StoredAnchor(int(number), text, _counted(policy, int(number), text))
        if len(rows) < _PAGE:
            return


def _counted(policy: Policy, number: int, content: str) -> Anchor | None:
    try:
        return signed_anchor(policy, content, number)
    except ProofError:
        return None


def signed_anchor(policy: Policy, content: str, number: int) -> Anchor:
    """Return the anchor in *content*, of *number*, which a key of the log that counts for it has signed.

    Raises:
        ProofError: It is malformed, another's, or not signed by such a key. Permanent.
    """
    from trailhouse.proof.keys import is_signed_by, parse_public_key
    from trailhouse.proof.note import signers

    anchor, note = parse_anchor(content)
    if anchor.log_name != policy.log_name or anchor.number != number:
        raise ProofError("anchor: is another log's, or of another number than its row")
    name = anchor_name(policy.log_name)
    for key in policy.anchor_keys(number):
        try:
            if signers(note, {name: parse_public_key(key.public_key)}, is_signed_by):
                return anchor
        except ProofError:
            continue
    raise ProofError("anchor: no key of the log that counts for it has signed it")


class Anchored:
    """What the anchors that count say together.

    Attributes:
        faults: What is wrong with them as a chain.
        policies: The SHA-256 of each version of the policy that one names.
        limits: Of each log, how many leaves each covers, and when it was made.
        roots: Of each log, by size, the roots that were anchored, each with the number of the first anchor that has it.
        manifests: By day and log, the manifest's root.
        count: How many count.
        newest: The last of them.
        latest: The number and time of the one that was made last by its own clock.
    """

    def __init__(self) -> None:
        self.chain = AnchorChain()
        self.faults: list[Fault] = []
        self.policies: dict[int, str] = {}
        self.limits: dict[LogId, Times] = {}
        self.roots: dict[LogId, dict[int, dict[bytes, int]]] = {}
        self.unknown: dict[str, int] = {}
        self.manifests: dict[tuple[str, str], list[tuple[int, ManifestRoot]]] = {}
        self.hashes: dict[int, set[str]] = {}
        self.count = 0
        self.latest = (0, 0)

    @property
    def newest_policy_version(self) -> int:
        """The highest version of the policy that an anchor names; 0 where there is none."""
        return max(self.policies, default=0)

    def take(self, stored: StoredAnchor, log_of: Callable[[str], LogId | None]) -> None:
        """Take in the next one."""
        if len(self.faults) < MOST_FAULTS:
            self.faults += self.chain.take(*stored)
        anchor = stored.anchor
        if anchor is None:
            return
        self.count += 1
        self.hashes.setdefault(anchor.number, set()).add(file_sha256(stored.content))
        self.policies.setdefault(anchor.policy_version, anchor.policy_sha256)
        self.latest = max(self.latest, (anchor.number, anchor.at_ms), key=lambda each: each[1])
        for each in anchor.checkpoints:
            log = log_of(each.origin)
            if log is None:
                self.unknown.setdefault(each.origin, anchor.number)
                continue
            self.limits.setdefault(log, Times()).add(each.size, anchor.at_ms, anchor.number)
            roots = self.roots.setdefault(log, {}).setdefault(each.size, {})
            roots.setdefault(each.root, anchor.number)
        for manifest in anchor.manifests:
            known = self.manifests.setdefault((manifest.day, manifest.origin), [])
            if manifest not in (other for _, other in known):
                known.append((anchor.number, manifest))


def anchored_by(
    clickhouse: ClickHouse, policy: Policy, log_of: Callable[[str], LogId | None]
) -> Anchored:
    """Return what the stored anchors say.

    Args:
        clickhouse: Where they are stored.
        policy: It says whose signature counts.
        log_of: Which log goes by a name.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    found = Anchored()
    for stored in stored_anchors(clickhouse, policy):
        found.take(stored, log_of)
    return found
