"""What became of the attacks, as lines: verdict, duty and delay, with the anchors that others keep and without.

A test hands its line over as a property of its report, so that lines come together whichever process ran the test.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from attack import Attack, without
from trailhouse.operate.verify.report import Outcome, Report

PROPERTY = "attack"
"""Name of the property."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One attack, and what was found.

    Attributes:
        attack: Its name.
        who: By whom.
        has_key: Whether the attacker holds the log's key.
        is_harmless: Whether it is none.
        verdict: What is said with the copies of the anchors that others keep.
        alone: What is said without them.
        duties: Which found it.
        delay: How long until it was found.
        missed_without: Duties that were switched off, one at a time, and without which it passes.
        found_without: The others of them.
    """

    attack: str
    who: str
    has_key: bool
    is_harmless: bool
    verdict: str = ""
    alone: str = ""
    duties: str = ""
    delay: str = ""
    missed_without: tuple[str, ...] = ()
    found_without: tuple[str, ...] = ()


def found_line(attack: Attack, report: Report, alone: Report, delay: str) -> Line:
    """Return the line of an attack: the report that outside anchors were at hand for, and the one without."""
    return msgspec.structs.replace(
        _begun(attack),
        verdict=str(report.verdict),
        alone=str(alone.verdict),
        duties=", ".join(dict.fromkeys(each.duty for each in report.findings)) or "-",
        delay="-" if attack.is_harmless else delay,
    )


def missed_line(attack: Attack, verify: Callable[[frozenset[str]], Report]) -> Line:
    """Look for an attack without one duty after the other that finds it, by *verify*, and return its line."""
    missed: list[str] = []
    found: list[str] = []
    for duty in without():
        if duty in attack.found_by:
            report = verify(frozenset({duty}))
            assert duty not in {each.duty for each in report.findings}
            (found if report.verdict is Outcome.FOUND else missed).append(duty)
    return msgspec.structs.replace(
        _begun(attack), missed_without=tuple(missed), found_without=tuple(found)
    )


def _begun(attack: Attack) -> Line:
    return Line(
        attack=attack.name,
        who=str(attack.who),
        has_key=attack.has_key,
        is_harmless=attack.is_harmless,
    )


def as_property(line: Line) -> tuple[str, Any]:
    """Return *line* as a property of a test's report."""
    return PROPERTY, msgspec.to_builtins(line)


def lines_of(properties: Iterable[tuple[str, Any]]) -> list[Line]:
    """Return the lines among *properties*."""
    return [msgspec.convert(value, Line) for name, value in properties if name == PROPERTY]


def table(lines: Sequence[Line]) -> list[str]:
    """Return what is printed of attacks that were looked for by every duty."""
    head = ("attack", "by", "log's key", "verdict", "without anchors", "duty", "delay")
    rows: list[tuple[str, ...]] = [head]
    for line in lines:
        key = "yes" if line.has_key else "no"
        rows.append((line.attack, line.who, key, line.verdict, line.alone, line.duties, line.delay))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    shown = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    attacks = [line for line in lines if not line.is_harmless]
    found = sum(line.verdict == "found" for line in attacks)
    harmless = len(lines) - len(attacks)
    intact = sum(line.verdict == "intact" for line in lines if line.is_harmless)
    return [
        *shown,
        f"{found} of {len(attacks)} attacks found; {intact} of {harmless} harmless ones intact",
    ]


def needed(duties: Sequence[str], lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """Return what is printed of attacks that were looked for without *duties*, and which of these nothing needs."""
    shown, useless = [], []
    for duty in duties:
        missed = [line.attack for line in lines if duty in line.missed_without]
        tried = len(missed) + sum(duty in line.found_without for line in lines)
        if missed:
            shown.append(f"{duty}: {len(missed)} of {tried} pass without it: {', '.join(missed)}")
        else:
            useless.append(duty)
            shown.append(f"{duty}: NOT NEEDED: each of {tried} is still found without it")
    return shown, useless
