"""Anchors: one form, and whatever is not of it is refused."""

import pytest

from flipped import each_byte_flipped
from made_keys import made_key
from trailhouse.proof.anchor import (
    Anchor,
    KeptPart,
    ManifestRoot,
    OrderHash,
    anchor_name,
    file_sha256,
    parse_anchor,
)
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import is_signed_by, note_signed
from trailhouse.proof.note import signers
from trailhouse.schemas.errors import ProofError

LOG = "audit.example.org/agents"
ROOT = bytes(range(32))
ANCHOR = Anchor(
    log_name=LOG,
    number=7,
    at_ms=1_764_374_400_123,
    policy_version=2,
    policy_sha256="ab" * 32,
    previous_sha256="cd" * 32,
    checkpoints=(
        Checkpoint(f"{LOG}/agent-events/AAAA/0/1", 17, ROOT),
        Checkpoint(f"{LOG}/agent-events/AAAA/1/1", 18, ROOT),
    ),
    manifests=(ManifestRoot("2026-11-28", f"{LOG}/agent-events/AAAA/0/1", 3, ROOT),),
    orders=(OrderHash(1, "ef" * 32), OrderHash(2, "ab" * 32)),
    parts=(KeptPart(f"{LOG}/agent-events/AAAA/0/1", 5, "cd" * 32),),
)
NAME = anchor_name(LOG)


def _signed(text: str) -> str:
    return note_signed(text, made_key(1), NAME)


def test_an_anchor_comes_back() -> None:
    """Each field, and the signature under it; without logs and manifests as well."""
    empty = Anchor(
        log_name=LOG, number=1, at_ms=0, policy_version=1, policy_sha256="ab" * 32, checkpoints=()
    )
    for anchor in (ANCHOR, empty):
        content = _signed(anchor.text)
        parsed, note = parse_anchor(content)
        assert parsed == anchor
        assert signers(note, {NAME: made_key(1).public_key}, is_signed_by) == {NAME}
        assert len(file_sha256(content)) == 64


def test_each_byte_flipped_is_found() -> None:
    """Whatever byte is changed: malformed, or not signed."""
    whole = _signed(ANCHOR.text).encode()
    for mask in (0x01, 0x80):
        for place, changed in each_byte_flipped(whole, mask):
            try:
                _, note = parse_anchor(changed)
                found = signers(note, {NAME: made_key(1).public_key}, is_signed_by)
            except ProofError:
                continue
            assert not found, place


LINES = ANCHOR.text.split("\n")


def _changed(line: int, text: str) -> str:
    return "\n".join([*LINES[:line], text, *LINES[line + 1 :]])


MALFORMED = {
    "another form": _changed(0, "trailhouse-anchor/2"),
    "number 007": _changed(2, "007"),
    "number 7_0": _changed(2, "7_0"),
    "number with a space": _changed(2, " 7"),
    "number 0": _changed(2, "0"),
    "the first after another": _changed(2, "1"),
    "none before the seventh": _changed(5, "-"),
    "hash before in capitals": _changed(5, "CD" * 32),
    "time -1": _changed(3, "-1"),
    "policy -1": _changed(4, "-1 " + "ab" * 32),
    "manifest of -1 sessions": _changed(10, LINES[10].replace(" 3 ", " -1 ")),
    "manifest of no day": _changed(10, LINES[10].replace("2026-11-28", "28.11.2026")),
    "manifest's root of 31 bytes": _changed(10, LINES[10][:-4] + "A" + "=="),
    "time in words": _changed(3, "now"),
    "policy without hash": _changed(4, "2"),
    "more checkpoints than lines": _changed(6, "9"),
    "fewer checkpoints than lines": _changed(6, "1"),
    "minus one checkpoint": _changed(6, "-1"),
    "checkpoints as a float": _changed(6, "2.0"),
    "unsorted": "\n".join([*LINES[:7], LINES[8], LINES[7], *LINES[9:]]),
    "a log twice": _changed(8, LINES[7].replace(" 17 ", " 18 ")),
    "size 012": _changed(7, LINES[7].replace(" 17 ", " 012 ")),
    "root of 31 bytes": _changed(7, LINES[7][:-5] + "=" * 1),
    "more manifests than lines": _changed(9, "2"),
    "fewer manifests than lines": _changed(9, "0"),
    "more orders than lines": _changed(11, "3"),
    "minus one order": _changed(11, "-1"),
    "no orders' number": "\n".join(LINES[:11]) + "\n",
    "order 0": _changed(12, LINES[12].replace("1 ", "0 ", 1)),
    "order 01": _changed(12, "0" + LINES[12]),
    "an order's hash in capitals": _changed(12, LINES[12].upper()),
    "unsorted orders": "\n".join([*LINES[:12], LINES[13], LINES[12], *LINES[14:]]),
    "more parts than lines": _changed(14, "2"),
    "no parts' number": "\n".join(LINES[:14]) + "\n",
    "a part at -1": _changed(15, LINES[15].replace(" 5 ", " -1 ")),
    "a part's hash too short": _changed(15, LINES[15][:-2]),
    "no manifests' number": "\n".join(LINES[:9]) + "\n",
    "a line more": ANCHOR.text + "more\n",
    "nothing": "\n",
    "only the form": "trailhouse-anchor/1\n",
}


@pytest.mark.parametrize("defect", MALFORMED)
def test_a_malformed_anchor_is_refused(defect: str) -> None:
    """A signature over it changes nothing: it is no anchor."""
    with pytest.raises(ProofError):
        parse_anchor(_signed(MALFORMED[defect]))
