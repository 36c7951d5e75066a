"""Anchors in a row: whether each goes on from the one before, as whoever keeps them can tell without the log. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from trailhouse.proof.anchor import FIRST, Anchor, anchor_name, file_sha256, parse_anchor
from trailhouse.proof.note import Verify, signers
from trailhouse.schemas.errors import ProofError


class ChainFault(NamedTuple):
    """What is wrong with an anchor: the number under which it is kept, and what it breaks."""

    number: int
    rule: str


class CheckedAnchor(NamedTuple):
    """An anchor of a chain: its whole file, what it says, and what is wrong with it, if anything."""

    number: int
    content: str
    anchor: Anchor | None
    faults: tuple[ChainFault, ...]


def signed_anchor(content: str | bytes, keys: Iterable[bytes], verify: Verify) -> Anchor:
    """Return the anchor that *content* holds, signed by one of *keys* under the name of its log's anchors.

    Raises:
        ProofError: It is malformed, or signed by none of them. Permanent.
    """
    anchor, note = parse_anchor(content)
    name = anchor_name(anchor.log_name)
    for key in keys:
        if name in signers(note, {name: key}, verify):
            return anchor
    raise ProofError("anchor: is not signed by a key of the log")


def checked_chain(
    contents: Iterable[tuple[int, str]],
    keys: Iterable[bytes],
    verify: Verify,
    *,
    log_name: str | None = None,
    after: tuple[Anchor, str] | None = None,
) -> Iterator[CheckedAnchor]:
    """Yield each of *contents*, numbers with files, the smallest first, with what is wrong with it.

    An anchor must bear its number and a key's signature, name the file before by its hash, be no older than it, and
    hold every log of it with as many leaves or more, the same root at the same size, and each manifest once.

    Args:
        contents: What is kept, such as `read_anchors` gives.
        keys: Public keys of the log; when each is valid is for the policy to say.
        verify: Whether a signature is a key's.
        log_name: Whose anchors they must be; that of the first if None.
        after: The anchor before the first of them, and its file; without, the first must be number 1.
    """
    trusted = list(keys)
    last, last_content = after if after is not None else (None, "")
    expected = last.number + 1 if last is not None else 1
    name = last.log_name if last is not None else log_name
    for number, content in contents:
        rules: list[str] = []
        if number > expected:
            rules.append(f"anchors {expected} to {number - 1} are missing")
        elif number < expected:
            rules.append("its number was there before")
        anchor = _signed(content, trusted, verify, rules)
        if anchor is not None:
            name = name or anchor.log_name
            rules += _rules(anchor, number, name)
            if last is not None and number == last.number + 1:
                rules += broken_rules(last, last_content, anchor)
            elif number == 1 and anchor.previous_sha256 != FIRST:
                rules.append("it names one before, and is the first")
            last, last_content = anchor, content
        expected = max(expected, number) + (number >= expected)
        yield CheckedAnchor(
            number, content, anchor, tuple(ChainFault(number, rule) for rule in rules)
        )


def broken_rules(before: Anchor, before_content: str, anchor: Anchor) -> list[str]:
    """Return what *anchor* breaks as the next after *before*, whose whole file is *before_content*."""
    rules: list[str] = []
    if anchor.previous_sha256 != file_sha256(before_content):
        rules.append("it does not name the file of the one before")
    if anchor.at_ms < before.at_ms:
        rules.append("it is older than the one before")
    if anchor.policy_version < before.policy_version:
        rules.append("its policy is older than that of the one before")
    now: Mapping[str, tuple[int, bytes]] = {
        each.origin: (each.size, each.root) for each in anchor.checkpoints
    }
    for origin, size, root in before.checkpoints:
        now_size, now_root = now.get(origin, (-1, b""))
        if now_size < 0:
            rules.append(f"the log {origin} is missing")
        elif now_size < size:
            rules.append(f"the log {origin} has shrunk from {size} to {now_size} leaves")
        elif now_size == size and now_root != root:
            rules.append(f"the log {origin} has another root at {size} leaves")
    return rules


def _signed(content: str, keys: Iterable[bytes], verify: Verify, rules: list[str]) -> Anchor | None:
    try:
        return signed_anchor(content, keys, verify)
    except ProofError as error:
        rules.append(str(error))
        return None


def _rules(anchor: Anchor, number: int, log_name: str) -> list[str]:
    rules: list[str] = []
    if anchor.number != number:
        rules.append(f"it says that it is number {anchor.number}")
    if anchor.log_name != log_name:
        rules.append("it is of another log")
    return rules
