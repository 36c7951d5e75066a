"""Statements compare like with like: rules of SQL that the engine does not hold us to."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_STRINGS_AMONG_HASHES = re.compile(r"IN \(SELECT (unhex|substring)\(")


def test_a_hash_is_looked_for_among_hashes() -> None:
    """`IN (SELECT …)` makes a FixedString a String, without zero bytes at its end: one hash of 256 is not found."""
    files = [
        each for room in ("consumer", "producer", "schemas") for each in (ROOT / room).rglob("*.py")
    ]
    assert len(files) > 300
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}… wants toFixedString(…, 16) or 32"
        for path in files
        for match in _STRINGS_AMONG_HASHES.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)
