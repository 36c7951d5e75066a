"""The table of threats, made from the list of attacks: who, with which keys, found by which duties, and by when."""

from collections.abc import Iterable

from attack import Attack, Who
from attack_list import ATTACKS

_WHEN = {
    "": "next `verify`",
    "anchors": "next `verify --anchors`, of what was anchored",
    "kept": "next `verify` by who kept a checkpoint (`--incremental`), or a witness",
}
_FILES = {False: "tests/attacks/test_attacks.py", True: "tests/attacks/test_broker_attacks.py"}
"""Where the tests of attacks are: on tables, and through a broker."""


def render() -> str:
    """Return the table, with a test for each cell that is not empty."""
    rows = ["| Who | Without the log's key | With it |", "|---|---|---|"]
    for who in Who:
        if who is Who.NOBODY:
            continue
        cells = [_cell(who, has_key=has_key) for has_key in (False, True)]
        rows.append(f"| {who} | {cells[0]} | {cells[1]} |")
    harmless = [attack for attack in ATTACKS if attack.is_harmless]
    attacks = len(ATTACKS) - len(harmless)
    rows.append("")
    rows.append(
        f"{attacks} attacks are tried, {_on_broker(ATTACKS) - _on_broker(harmless)} of them through a real broker,"
        f" and {len(harmless)} things that are none and must not be told, {_on_broker(harmless)} of them so:"
        f" {', '.join(attack.name for attack in harmless)}."
    )
    return "\n".join(rows) + "\n"


def _on_broker(attacks: Iterable[Attack]) -> int:
    return sum(each.on_broker is not None for each in attacks)


def _cell(who: Who, *, has_key: bool) -> str:
    if who is Who.EVERYTHING:
        return "not found: nobody is left who could tell" if not has_key else "the same"
    found = [attack for attack in ATTACKS if (attack.who, attack.has_key) == (who, has_key)]
    if not found:
        return "as without it" if has_key else "as with it"
    said = [_line(needs, [each for each in found if each.needs == needs]) for needs in _WHEN]
    tests = [_tests(on_broker, found) for on_broker in _FILES]
    return f"{'; '.join(filter(None, said))} ({'; '.join(filter(None, tests))})"


def _tests(on_broker: bool, attacks: Iterable[Attack]) -> str:
    """Return where the tests of those *attacks* are that go through a broker, or not."""
    names = [each.name for each in attacks if (each.on_broker is not None) is on_broker]
    if not names:
        return ""
    where = " through a real broker" if on_broker else ""
    first = names[0].replace(" ", "-")
    return f"{len(names)}{where}: `{_FILES[on_broker]} -k {first}` …"


def _line(needs: str, attacks: Iterable[Attack]) -> str:
    duties = sorted({duty for attack in attacks for duty in attack.found_by})
    return f"{', '.join(duties)}: {_WHEN[needs]}" if duties else ""
