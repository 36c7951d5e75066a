"""What became of the attacks, as lines: verdict, duty and delay, with the anchors that others keep and without."""

import sys
from typing import NamedTuple

from attack import Attack
from trailhouse.operate.verify.report import Report


class _Line(NamedTuple):
    attack: Attack
    verdict: str
    alone: str
    duties: str
    delay: str


class AttackTable:
    """Takes in each attack, and shows all of them."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []

    def add(self, attack: Attack, report: Report, alone: Report, seconds: float) -> None:
        """Take in one, with the report that the outside anchors were at hand for, and the one without."""
        duties = ", ".join(dict.fromkeys(each.duty for each in report.findings)) or "-"
        delay = f"next verify ({seconds:.1f} s)"
        self._lines.append(_Line(attack, report.verdict, alone.verdict, duties, delay))

    def show(self) -> None:
        """Print all of them."""
        out = sys.stdout.write
        out("\n")
        head = ("attack", "by", "log's key", "verdict", "without anchors", "duty", "delay")
        rows: list[tuple[str, ...]] = [head]
        for attack, verdict, alone, duties, delay in self._lines:
            key = "yes" if attack.has_key else "no"
            when = "-" if attack.is_harmless else delay
            rows.append((attack.name, attack.who, key, verdict, alone, duties, when))
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        for row in rows:
            out(
                "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + "\n"
            )
        attacks = [line for line in self._lines if not line.attack.is_harmless]
        found = sum(line.verdict == "found" for line in attacks)
        harmless = len(self._lines) - len(attacks)
        intact = sum(line.verdict == "intact" for line in self._lines if line.attack.is_harmless)
        out(
            f"{found} of {len(attacks)} attacks found; {intact} of {harmless} harmless ones intact\n"
        )
