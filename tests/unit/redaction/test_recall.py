"""Secrets of every shape of the table, wherever agents put them: nearly all are gone, and of none a quarter stays."""

from typing import Any

import pytest

from further_recall import further_recall
from redaction_recall import recall
from trailhouse.redaction import RedactionConfig
from trailhouse.redaction.redactor import Redactor

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


def test_a_secret_that_stays_is_counted(redactor: Redactor) -> None:
    """The measure sees what is left: with nothing to look for, everything is."""

    class Nothing(Redactor):
        def without_secrets(self, data: dict[str, Any]) -> dict[str, Any]:
            return data

    found = recall(Nothing(RedactionConfig(), limit_bytes=1_000), seed=1, every=40)
    assert found.share == 0
