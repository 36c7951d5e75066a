"""How much a run of the benchmarks does: the short plan, or the full one."""

from typing import NamedTuple, TypeVar

Amount = TypeVar("Amount")


class Plan(NamedTuple):
    """`make bench` takes minutes, `make bench-full` as long as its largest figures need."""

    is_full: bool
    rounds: int

    def pick(self, short: Amount, full: Amount) -> Amount:
        """Return the amount of this plan."""
        return full if self.is_full else short
