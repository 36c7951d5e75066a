"""Anchors: at a time, how large each log was and its root, in a signed file that others keep. Pure.

A note (see `note`) under the name ``<log name>/anchor``, by a log key. Its text, a line each: `FORMAT`, the log name,
the anchor's number, milliseconds since 1970 UTC, version and SHA-256 of the policy (``0 -`` before there is one),
SHA-256 of the whole file of the anchor before (``-`` for the first), the number of checkpoints, one line
``origin size root`` for each, the number of manifests, one line ``day origin sessions root`` for each, the number of
operators' orders, one line ``number sha256`` for each, over its text, the number of records of which quarantine keeps a
part alone, and one line ``origin offset sha256`` for each, over that part; all sorted, roots in base64.
"""

import base64
import re
from hashlib import sha256

import msgspec

from trailhouse.proof.checkpoint import Checkpoint, checkpoint_of
from trailhouse.proof.merkle import HASH_BYTES
from trailhouse.proof.note import Note, canonical_base64, parse_note
from trailhouse.schemas.errors import ProofError

FORMAT = "trailhouse-anchor/1"
FIRST = "-"
"""Stands for the anchor before the first, and for the policy where there is none."""
_SHA256 = re.compile("[0-9a-f]{64}")
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class ManifestRoot(msgspec.Struct, frozen=True, order=True):
    """The root over the manifest of a day (``2026-11-29``) of one log, and how many sessions it lists."""

    day: str
    origin: str
    sessions: int
    root: bytes


class OrderHash(msgspec.Struct, frozen=True, order=True):
    """An operator's order (see `erasure`): its number, and the SHA-256 of its text in hex."""

    number: int
    sha256: str


class KeptPart(msgspec.Struct, frozen=True, order=True):
    """What quarantine keeps of a record that is too large: where it stood, and the SHA-256 of the part in hex."""

    origin: str
    offset: int
    sha256: str


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """What an anchor says; see the module for its form."""

    log_name: str
    number: int
    at_ms: int
    policy_version: int
    policy_sha256: str
    previous_sha256: str = FIRST
    checkpoints: tuple[Checkpoint, ...]
    manifests: tuple[ManifestRoot, ...] = ()
    orders: tuple[OrderHash, ...] = ()
    parts: tuple[KeptPart, ...] = ()

    @property
    def text(self) -> str:
        """What is signed."""
        lines = [
            FORMAT,
            self.log_name,
            str(self.number),
            str(self.at_ms),
            f"{self.policy_version} {self.policy_sha256}",
            self.previous_sha256,
            str(len(self.checkpoints)),
            *(f"{each.origin} {each.size} {_base64(each.root)}" for each in self.checkpoints),
            str(len(self.manifests)),
            *(
                f"{each.day} {each.origin} {each.sessions} {_base64(each.root)}"
                for each in self.manifests
            ),
            str(len(self.orders)),
            *(f"{each.number} {each.sha256}" for each in self.orders),
            str(len(self.parts)),
            *(f"{each.origin} {each.offset} {each.sha256}" for each in self.parts),
        ]
        return "\n".join(lines) + "\n"


def anchor_name(log_name: str) -> str:
    """Return under which name the anchors of *log_name* are signed."""
    return f"{log_name}/anchor"


def file_sha256(content: str) -> str:
    """Return the hash of the whole file of an anchor, as the next one names it."""
    return sha256(content.encode()).hexdigest()


def parse_anchor(content: str | bytes) -> tuple[Anchor, Note]:
    """Return the anchor that *content* holds, and it as a note, whose signatures are not checked.

    Raises:
        ProofError: It is not an anchor in the one form that it can have. Permanent.
    """
    note = parse_note(content, "anchor")
    lines = note.text.split("\n")
    try:
        anchor = _anchor(lines)
    except (ValueError, IndexError):
        raise ProofError("anchor: a line is malformed") from None
    if anchor.text != note.text:
        raise ProofError("anchor: is not the one text of its fields")
    return anchor, note


def _anchor(lines: list[str]) -> Anchor:
    if lines[0] != FORMAT:
        raise ProofError(f"anchor: is not of the form {FORMAT}")
    version, policy_sha256 = lines[4].split(" ")
    after = 7 + _count(lines[6])
    checkpoints = tuple(_checkpoint(line) for line in lines[7:after])
    until = after + 1 + _count(lines[after])
    manifests = tuple(_manifest(line) for line in lines[after + 1 : until])
    end = until + 1 + _count(lines[until])
    orders = tuple(_order(line) for line in lines[until + 1 : end])
    parts = tuple(_part(line) for line in lines[end + 1 : -1])
    if len(parts) != _count(lines[end]):
        raise ProofError("anchor: its parts are not as many as it says")
    if any(list(each) != sorted(each) for each in (checkpoints, manifests, orders, parts)):
        raise ProofError("anchor: its lines are not sorted")
    if len({each.origin for each in checkpoints}) < len(checkpoints):
        raise ProofError("anchor: names a log twice")
    number, at_ms = int(lines[2]), int(lines[3])
    previous = lines[5]
    if number < 1 or at_ms < 0 or int(version) < 0 or (number == 1) != (previous == FIRST):
        raise ProofError("anchor: a number is none that an anchor can have")
    if previous != FIRST and _SHA256.fullmatch(previous) is None:
        raise ProofError("anchor: the hash of the one before is malformed")
    if policy_sha256 != FIRST and _SHA256.fullmatch(policy_sha256) is None:
        raise ProofError("anchor: the hash of its policy is malformed")
    return Anchor(
        log_name=lines[1],
        number=number,
        at_ms=at_ms,
        policy_version=int(version),
        policy_sha256=policy_sha256,
        previous_sha256=previous,
        checkpoints=checkpoints,
        manifests=manifests,
        orders=orders,
        parts=parts,
    )


def _count(line: str) -> int:
    if (count := int(line)) < 0:
        raise ProofError("anchor: has a count below zero")
    return count


def _checkpoint(line: str) -> Checkpoint:
    origin, size, root = line.rsplit(" ", 2)
    return checkpoint_of(f"{origin}\n{size}\n{root}\n")


def _manifest(line: str) -> ManifestRoot:
    day, origin, sessions, root = line.split(" ")
    raw = canonical_base64(root, "anchor: manifest")
    if len(raw) != HASH_BYTES or int(sessions) < 0 or _DAY.fullmatch(day) is None:
        raise ProofError("anchor: a line of a manifest is malformed")
    return ManifestRoot(day, origin, int(sessions), raw)


def _order(line: str) -> OrderHash:
    number, digest = line.split(" ")
    if int(number) < 1 or _SHA256.fullmatch(digest) is None:
        raise ProofError("anchor: a line of an order is malformed")
    return OrderHash(int(number), digest)


def _part(line: str) -> KeptPart:
    origin, offset, digest = line.rsplit(" ", 2)
    if int(offset) < 0 or _SHA256.fullmatch(digest) is None:
        raise ProofError("anchor: a line of a part is malformed")
    return KeptPart(origin, int(offset), digest)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
