"""The table of shapes: each finds what its vendor issues, and says how it is written and where that is shown."""

import random
import re
from functools import cache

import pytest

from secret_examples import Example, examples
from trailhouse.redaction.shapes import SHAPES, Shape

SEEDS = range(5)


@cache
def of_category(category: str) -> list[tuple[Shape, re.Pattern[str]]]:
    """Return the shapes of a category, each with its pattern compiled."""
    return [(shape, re.compile(shape.pattern)) for shape in SHAPES if shape.category == category]


@cache
def made() -> list[Example]:
    """Return the examples of each seed, one seed after the other."""
    return [
        example
        for seed in SEEDS
        for example in examples(random.Random(seed))  # noqa: S311 - no secret is made for use
    ]


def _text(example: Example) -> str:
    if not example.name:
        return example.text
    name = " ".join(word.capitalize() for word in example.name.split("_"))
    return f"The {name} API key is {example.text}."


def _finders(example: Example) -> list[Shape]:
    text = _text(example)
    return [
        shape
        for shape, pattern in of_category(example.category)
        if any(example.secret in found[1] for found in pattern.finditer(text))
    ]


def test_every_form_is_found_whole_by_its_own_shape() -> None:
    """What is made by a vendor's description is matched from its first character to its last."""
    missed = sorted({(e.category, e.form) for e in made() if not _finders(e)})
    assert missed == []


def test_every_shape_finds_a_form_of_its_category() -> None:
    """No entry of the table is there in vain, and none is without an example."""
    found = {shape for example in made() for shape in _finders(example)}
    assert [shape.category for shape in SHAPES if shape not in found] == []


def test_an_anchor_stands_in_every_secret() -> None:
    """Who looks for anchors alone misses nothing that a shape with anchors finds."""
    for example in made():
        text = _text(example)
        for shape in _finders(example):
            where = text.lower() if shape.ignores_case else text
            assert not shape.anchors or any(anchor in where for anchor in shape.anchors), (
                shape.category
            )


def test_what_follows_a_secret_does_not_matter() -> None:
    """A full stop, a bracket, a quote, an escape or a sign of Chinese ends a token, and none is needed."""
    for example in made()[: len(made()) // len(SEEDS)]:
        if example.text != example.secret:
            continue
        for follower in (".", ")", "，", '"', "'", "\\n", "`", "<", "&b=1", "]", " ", "…"):
            text = _text(example).removesuffix(".") + follower
            ends = [
                found[1].startswith(example.secret)
                for _, pattern in of_category(example.category)
                for found in pattern.finditer(text)
            ]
            assert any(ends), (example.category, example.form, follower)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.category)
def test_an_entry_says_what_it_finds(shape: Shape) -> None:
    """A category that a marker can carry, a form in words, one group, anchors in their case, and a public source."""
    assert re.fullmatch(r"[a-z][a-z0-9_]{2,40}", shape.category)
    assert len(shape.form) > 3
    assert re.compile(shape.pattern).groups == 1
    assert all(anchor == anchor.lower() for anchor in shape.anchors if shape.ignores_case)
    assert shape.source.startswith("https://")


def test_the_table_knows_many_vendors_and_no_entry_twice() -> None:
    """At least 160 vendors are named, and no pattern stands there twice."""
    vendors = {vendor for shape in SHAPES for vendor in re.split(r", | and ", shape.vendor)}
    assert len(vendors) >= 160
    assert len({shape.pattern for shape in SHAPES}) == len(SHAPES)
