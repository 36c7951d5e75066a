"""What RE2 finds without groups, and Python's `re` reads, is what RE2 finds with groups."""

import random

import pytest

from secret_examples import examples
from secret_positions import events
from trailhouse.redaction import RedactionConfig, matching
from trailhouse.redaction.located import LocatedPattern
from trailhouse.redaction.rules import rules_of

EVERY = 60
TEXTS = [
    str(data["text"]).encode()
    for number, example in enumerate(examples(random.Random(5)))  # noqa: S311 - no secret
    for at, data in enumerate(events(example.text, example.name).values())
    if (number + at) % EVERY == 0 and "text" in data
]
GROUPS = r"(?:^|[^\w-]|\\n)(ab)(c{2,})?(?:é)?"


def _groups(pattern: matching.Pattern, text: bytes) -> list[list[tuple[int, ...]]]:
    return [
        [
            (found.span()[1], found.span()[1]),
            *(found.span(group) for group in range(1, pattern.groups + 1)),
        ]
        for found in pattern.finditer(text)
    ]


@pytest.mark.parametrize(
    "text", ["ab", "，ab", "\\nabccc", "é abcc", "xab", "ab ab\nabccé ab", "", "a" * 300 + " ab"]
)
def test_groups_are_those_of_re2(text: str) -> None:
    """Each group of each match begins and ends where RE2 says, behind characters of several bytes too."""
    assert _groups(LocatedPattern(GROUPS), text.encode()) == _groups(
        matching.compiled(GROUPS), text.encode()
    )


def test_what_python_reads_in_another_way_is_asked_of_re2() -> None:
    """To RE2 a character of several bytes is one sign, and K is a k where case does not matter."""
    for pattern, text in (("(a.)b", "aéb"), ("(?i:(k)e)y", "\u212aey"), ("(x[^y]{2})z", "xééz")):
        expected = _groups(matching.compiled(pattern), text.encode())
        assert expected
        assert _groups(LocatedPattern(pattern), text.encode()) == expected


def test_a_long_match_is_read_by_re2() -> None:
    """A match that is too long for Python's `re` has the same groups."""
    text = b"x" + b"a" * 10_000 + b"b"
    assert _groups(LocatedPattern("x(a+)(b)"), text) == _groups(matching.compiled("x(a+)(b)"), text)


def test_no_pattern_needs_another_way() -> None:
    """Every pattern of ours is one that RE2 locates and Python's `re` can read."""
    rules = rules_of(RedactionConfig())
    assert [each for each in rules if not isinstance(each.compiled, LocatedPattern)] == []


def test_every_rule_finds_the_same_by_both() -> None:
    """Over all shapes, in prose, code, JSON, shells, the groups of each rule are those of RE2."""
    rules = rules_of(RedactionConfig(pii="card,email,phone,ip,iban"))
    in_ = matching.openers_of(
        tuple(rule.opener for rule in rules), tuple(rule.words for rule in rules)
    ).in_
    seen = 0
    exact: dict[int, matching.Pattern] = {}
    for text in TEXTS:
        for place in in_(text) or ():
            rule = rules[place]
            if place not in exact:
                exact[place] = matching.compiled(rule.pattern)
            expected = _groups(exact[place], text)
            found = _groups(rule.compiled, text)
            assert found == expected, rule.category
            seen += len(found)
    assert seen > 300
