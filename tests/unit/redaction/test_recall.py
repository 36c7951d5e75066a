"""Secrets of every shape of the table, wherever agents put them: nearly all are gone, and of none a quarter stays."""

from pathlib import Path
from typing import Any

import pytest

from further_recall import further_recall
from redaction_recall import recall
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor

DOCUMENT = Path(__file__).parents[3] / "docs/redaction.md"
LEAST_SHARE, LEAST_SHARE_OF_A_SHAPE = 0.98, 0.75


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


def test_nearly_every_secret_is_gone(redactor: Redactor) -> None:
    """98 of 100 secrets are gone, over all shapes and positions, and three quarters of each shape."""
    found = recall(redactor, seed=1, every=12)
    assert found.planted.total() > 1_800
    assert found.share >= LEAST_SHARE, found.places[:20]
    poor = {name for name, share in found.by_category.items() if share < LEAST_SHARE_OF_A_SHAPE}
    assert poor == set()


def test_nearly_every_secret_that_was_written_apart_is_gone(redactor: Redactor) -> None:
    """The same holds for what vendors' pages show, written down without a look at the table, in other positions."""
    found = further_recall(redactor, seed=3, every=4)
    assert found.planted.total() > 2_500
    assert found.share >= LEAST_SHARE, found.places[:20]
    poor = {name for name, share in found.by_category.items() if share < LEAST_SHARE_OF_A_SHAPE}
    assert poor == set()


def test_the_documents_say_how_many_are_planted() -> None:
    """The numbers of secrets in the documents' figures are those that the commands beside them plant."""

    class Nothing(Redactor):
        def without_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
            return data

    nothing = Nothing(RedactionConfig(), limit_bytes=1_000)
    figures = DOCUMENT.read_text(encoding="utf-8")
    for measure, seed in ((recall, 1), (further_recall, 3)):
        planted = measure(nothing, seed=seed).planted.total()
        assert f" % of {planted:,} |" in figures, f"{measure.__name__} plants {planted:,}"


def test_a_secret_that_stays_is_counted(redactor: Redactor) -> None:
    """The measure sees what is left: with nothing to look for, everything is."""

    class Nothing(Redactor):
        def without_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
            return data

    found = recall(Nothing(RedactionConfig(), limit_bytes=1_000), seed=1, every=40)
    assert found.share == 0
