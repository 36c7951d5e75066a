"""Every form of secret in every position, and what is gone: `python tests/support/whole_recall.py`, half a minute."""

import sys

from further_recall import further_recall
from redaction_recall import recall
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor


def main() -> None:
    """Plant, and print the figures that stand in docs/redaction.md."""
    redactor = Redactor(RedactionConfig(), limit_bytes=1_000_000)
    for of_what, found in (
        ("the table", recall(redactor, seed=1)),
        ("what was written apart", further_recall(redactor, seed=3)),
    ):
        least = min(found.by_category.values())
        gone = f"{found.share:.2%} of {found.planted.total():,} gone"
        sys.stdout.write(f"{of_what}: {gone}, of each shape at least {least:.0%}\n")


if __name__ == "__main__":
    main()
