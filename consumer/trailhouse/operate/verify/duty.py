"""A duty of `verify`: its number, its name, what it holds against what, and the function that does it.

How to write one, in a module of its own::

    def check(run: Run, found: Findings) -> Checked:
        for policy in …:
            found.add("forged_policy", name="version 3", meaning="…", way_out="…")
        return Checked(policies, "policies")

    DUTY = Duty(1, "policy", "each policy against the owner's pinned key", check)

What cannot be checked is raised as `CannotCheckError`, or said with `run.cannot(…)` where the rest goes on; an error of
ClickHouse, of a proof or of a key that is raised counts the same. Nothing that could not be checked is called intact.
"""

from collections.abc import Callable
from typing import NamedTuple

from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run

__all__ = ["CannotCheckError", "Checked", "Duty"]


class Checked(NamedTuple):
    """How much a duty has looked at, and what of."""

    amount: int
    unit: str


def _nothing(run: Run) -> None:
    """Ask for nothing."""


class Duty(NamedTuple):
    """One duty.

    Attributes:
        number: Never changes.
        name: Never changes; by it the duty is switched off.
        holds: What it holds against what, for people.
        check: Does it.
        prepare: Is called for every duty before the first is done: asks for roots of logs (`run.roots.want`).
        is_scoped: Whether it is done too where only some rows are asked for; one that is not is left out then.
        is_timed: Whether it is done too where only a stretch of time is asked for.
        left_out: What people are told where it is not done then.
        in_turn: Whether it is done after those of lower numbers that are: it goes on from what these have seen. All
            others are done beside these.
    """

    number: int
    name: str
    holds: str
    check: Callable[[Run, Findings], Checked]
    prepare: Callable[[Run], None] = _nothing
    is_scoped: bool = False
    is_timed: bool = False
    left_out: str = "it looks at more than what is asked for"
    in_turn: bool = False
