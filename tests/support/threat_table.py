"""The table of threats, made from the list of attacks: who, with which keys, found by which duties, and by when."""

from collections.abc import Iterable

from attack import Attack, Who
from attack_list import ATTACKS

_WHEN = {
    "": "next `verify`",
    "anchors": "next `verify --anchors`, of what was anchored",
    "kept": "next `verify` by who kept a checkpoint (`--incremental`), or a witness",
}
_FILE = "tests/attacks/test_attacks.py"


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
        f"{attacks} attacks are tried, and {len(harmless)} things that are none and must not be told:"
        f" {', '.join(attack.name for attack in harmless)}."
    )
    return "\n".join(rows) + "\n"


def _cell(who: Who, *, has_key: bool) -> str:
    if who is Who.EVERYTHING:
        return "not found: nobody is left who could tell" if not has_key else "the same"
    found = [attack for attack in ATTACKS if (attack.who, attack.has_key) == (who, has_key)]
    if not found:
        return "as without it" if has_key else "as with it"
    said = [_line(needs, [each for each in found if each.needs == needs]) for needs in _WHEN]
    first = found[0].name.replace(" ", "-")
    return f"{'; '.join(filter(None, said))} (`{_FILE}`, {len(found)}: `-k {first}` …)"


def _line(needs: str, attacks: Iterable[Attack]) -> str:
    duties = sorted({duty for attack in attacks for duty in attack.found_by})
    return f"{', '.join(duties)}: {_WHEN[needs]}" if duties else ""
