"""What a check establishes is a numbered list, and the code that does it carries the numbers."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "consumer" / "trailhouse"
CHECKS = (
    "operate/reconcile/comparison.py",
    "operate/reconcile/deep.py",
    "operate/account/balance.py",
    "cli/demo/comparison.py",
)


@pytest.mark.parametrize("name", CHECKS)
def test_every_duty_is_done_where_its_number_stands(name: str) -> None:
    """The list counts from 1; each of its numbers stands beside code, and no other does."""
    text = (ROOT / name).read_text(encoding="utf-8")
    listed = [int(number) for number in re.findall(r"^ *([0-9]+)\. ", text, re.MULTILINE)]
    carried = {int(number) for number in re.findall(r"# ([0-9]+)(?:\. .*)?$", text, re.MULTILINE)}
    assert listed == list(range(1, len(listed) + 1))
    assert len(listed) > 1
    assert carried == set(listed)
