"""What the anchors that count say: sizes and roots of logs, times, policies; those stored, and those kept outside."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from trailhouse.anchoring.kept_parts import MOST_PARTS
from trailhouse.operate.verify.logs import LogId
from trailhouse.proof.anchor import FIRST, Anchor, ManifestRoot, OrderHash, file_sha256
from trailhouse.proof.anchor_chain import broken_rules, signed_anchor
from trailhouse.proof.policy import Policy
from trailhouse.schemas.errors import ProofError
from trailhouse.store.clickhouse import ClickHouse

MAX_ANCHOR_BYTES = 16 * 1024 * 1024
MOST_FAULTS = 10_000
_PAGE = 1_000
_NAMED = 5

_SQL = f"""
    SELECT number, anchor FROM log_anchors
    WHERE (number, anchor) > ({{number:UInt64}}, {{text:String}}) AND length(anchor) <= {MAX_ANCHOR_BYTES}
    ORDER BY number, anchor LIMIT 1 BY number, anchor LIMIT {_PAGE}
"""  # noqa: S608 - names of ours; every value is a bound parameter


def anchor_names(numbers: Sequence[int]) -> str:
    """Return what anchors of *numbers* are called in a finding: the first few by number."""
    few = ", ".join(f"{number}" for number in numbers[:_NAMED])
    more = len(numbers) - _NAMED
    return f"anchor {few}" + (f" and {more} more" if more > 0 else "")


class KeptAnchor(NamedTuple):
    """An anchor of a number that a key of the log has signed, and its file."""

    content: str
    anchor: Anchor


class ChainFault(NamedTuple):
    """What is wrong with an anchor: its kind, its number, the rule that it breaks."""

    kind: str
    number: int
    rule: str


class Times:
    """Of one log: how many leaves each anchor covers, and when it was made; sizes rise."""

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

    def size_at(self, number: int) -> int:
        """Return how many leaves the anchor of *number* covers, or that before it; 0 where there is none."""
        place = bisect_right(self._numbers, number)
        return self._sizes[place - 1] if place else 0

    def made_after(self, size: int) -> int | None:
        """Return when the first anchor was made that covers more than *size* leaves; None where none does."""
        place = bisect_right(self._sizes, size)
        return self._at_ms[place] if place < len(self._at_ms) else None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._sizes, self._at_ms, strict=True))


class Anchored:
    """What anchors say together, given by number.

    Where two of a number are signed, as by two that anchored at once, that one goes on which the next names; what the
    other says of logs must fit them all the same.

    Attributes:
        faults: What is wrong with them as a chain.
        policies: The SHA-256 of each version of the policy that one names.
        limits: Of each log, how many leaves each covers, and when it was made.
        roots: Of each log, by size, the roots that were anchored, each with the number of the first anchor that has it.
        unknown: Logs of which nothing is stored, each with the first anchor that has it.
        manifests: By day and log, the manifests' roots, each with the first anchor that has it.
        orders: Operators' orders, by number and hash, each with the first anchor that names it.
        parts: What quarantine keeps of records, by partition and offset, as hashes in hex.
        full: Logs of which an anchor names as many parts as it may, so that others may be named by none.
        hashes: By number, the SHA-256 of each file that counts.
        latest: The number and time of the one that was made last by its own clock.
        made: Number and time of each, by number.
        in_force_ms: When the first was made that names a version of the policy.
        revoked: Numbers under which a key has signed that was revoked before: they do not count.
    """

    def __init__(self) -> None:
        self.faults: list[ChainFault] = []
        self.policies: dict[int, str] = {}
        self.limits: dict[LogId, Times] = {}
        self.roots: dict[LogId, dict[int, dict[bytes, int]]] = {}
        self.unknown: dict[str, int] = {}
        self.manifests: dict[tuple[str, str], dict[ManifestRoot, int]] = {}
        self.orders: dict[OrderHash, int] = {}
        self.parts: dict[tuple[tuple[str, str, str, int], int], set[str]] = {}
        self.full: set[LogId] = set()
        self.hashes: dict[int, set[str]] = {}
        self.latest = (0, 0)
        self.made = Times()
        self.in_force_ms: dict[int, int] = {}
        self.revoked: list[int] = []
        self._before: list[KeptAnchor] = []
        self._number = 0

    @property
    def newest_policy_version(self) -> int:
        """The highest version of the policy that an anchor names; 0 where there is none."""
        return max(self.policies, default=0)

    @property
    def newest_number(self) -> int:
        """The number of the last one; 0 where there is none."""
        return max(self.hashes, default=0)

    def fault(self, kind: str, number: int, rule: str) -> None:
        """Note what is wrong with an anchor."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(ChainFault(kind, number, rule))

    def take(
        self, number: int, anchors: list[KeptAnchor], log_of: Callable[[str], LogId | None]
    ) -> None:
        """Take in those of the next *number*, at least one."""
        if number > self._number + 1:
            missing = (
                f"{self._number + 1}"
                if number == self._number + 2
                else f"{self._number + 1} to {number - 1}"
            )
            self.fault("anchor_missing", self._number + 1, f"{missing} is not there")
        elif self._before:
            anchors = self._following(anchors)
        elif any(each.anchor.previous_sha256 != FIRST for each in anchors):
            self.fault("anchor_chain", number, "it names one before, and is the first")
        self._number, self._before = number, anchors
        for each in anchors:
            self._read(each, log_of)

    def _following(self, anchors: list[KeptAnchor]) -> list[KeptAnchor]:
        """Return *anchors*, after what breaks them was told."""
        for each in anchors:
            broken = [
                broken_rules(before.anchor, before.content, each.anchor) for before in self._before
            ]
            for rule in min(broken, key=len):
                self.fault("anchor_chain", each.anchor.number, rule)
        return anchors

    def _read(self, kept: KeptAnchor, log_of: Callable[[str], LogId | None]) -> None:
        anchor = kept.anchor
        self.hashes.setdefault(anchor.number, set()).add(file_sha256(kept.content))
        self.made.add(anchor.number, anchor.at_ms, anchor.number)
        self.in_force_ms.setdefault(anchor.policy_version, anchor.at_ms)
        if anchor.policy_version:
            known = self.policies.setdefault(anchor.policy_version, anchor.policy_sha256)
            if known != anchor.policy_sha256:
                rule = "it names another policy than one before it, under the same version"
                self.fault("anchor_chain", anchor.number, rule)
        self.latest = max(self.latest, (anchor.number, anchor.at_ms), key=lambda each: each[1])
        for origin, size, root in anchor.checkpoints:
            log = log_of(origin)
            if log is None:
                self.unknown.setdefault(origin, anchor.number)
                continue
            self.limits.setdefault(log, Times()).add(size, anchor.at_ms, anchor.number)
            self.roots.setdefault(log, {}).setdefault(size, {}).setdefault(root, anchor.number)
        for manifest in anchor.manifests:
            roots = self.manifests.setdefault((manifest.day, manifest.origin), {})
            roots.setdefault(manifest, anchor.number)
        for order in anchor.orders:
            self.orders.setdefault(order, anchor.number)
        for origin, parts in groupby(anchor.parts, key=lambda part: part.origin):
            if (log := log_of(origin)) is None:
                continue
            named = list(parts)
            for part in named:
                self.parts.setdefault((log.place, part.offset), set()).add(part.sha256)
            if len(named) >= MOST_PARTS:
                self.full.add(log)

    def covers(self, place: tuple[str, str, str, int], offset: int) -> bool:
        """Tell whether an anchor holds a leaf at *offset* of a partition, and names all parts of its log."""
        return any(
            log.place == place
            and log not in self.full
            and times.size_at(self.newest_number) > offset
            for log, times in self.limits.items()
        )


def stored_anchors(clickhouse: ClickHouse) -> Iterator[tuple[int, str]]:
    """Yield number and file of each stored anchor by number, one that is stored twice once.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    number, text = 0, ""
    while True:
        rows = clickhouse.query(_SQL, {"number": number, "text": text}).rows
        yield from ((int(each), content) for each, content in rows)
        if len(rows) < _PAGE:
            return
        number, text = rows[-1]


def anchored_by(
    contents: Iterable[tuple[int, str]], policy: Policy, log_of: Callable[[str], LogId | None]
) -> Anchored:
    """Return what anchors say.

    Args:
        contents: Numbers and files, by number.
        policy: It says whose signature counts.
        log_of: Which log goes by a name.
    """
    found = Anchored()
    for number, rows in groupby(contents, key=lambda row: row[0]):
        counted: list[KeptAnchor] = []
        for _, content in rows:
            try:
                counted.append(KeptAnchor(content, counted_anchor(policy, content, number)))
            except ProofError as error:
                if _is_by_revoked(policy, content, number):
                    found.revoked.append(number)
                else:
                    found.fault("forged_anchor", number, str(error).removeprefix("anchor: "))
        if counted:
            found.take(number, counted, log_of)
    return found


def _is_by_revoked(policy: Policy, content: str, number: int) -> bool:
    """Tell whether a key of the log has signed it that was revoked before: of such, nothing counts, or is told."""
    from trailhouse.proof.keys import is_signed_by, parse_public_key

    late = [key for key in policy.log_keys if key.is_revoked and not key.signs_anchor(number)]
    try:
        keys = [parse_public_key(key.public_key) for key in late]
        anchor = signed_anchor(content, keys, is_signed_by)
    except ProofError:
        return False
    return (anchor.log_name, anchor.number) == (policy.log_name, number)


def counted_anchor(policy: Policy, content: str, number: int) -> Anchor:
    """Return the anchor in *content*, of *number*, which a key of the log that counts for it has signed.

    Raises:
        ProofError: It is malformed, another's, or not signed by such a key. Permanent.
    """
    from trailhouse.proof.keys import is_signed_by, parse_public_key

    keys = [parse_public_key(key.public_key) for key in policy.anchor_keys(number)]
    anchor = signed_anchor(content, keys, is_signed_by)
    if anchor.log_name != policy.log_name or anchor.number != number:
        raise ProofError("anchor: is another log's, or of another number than its place says")
    return anchor
