"""Interleaved rounds: what each contestant measured in each, and the medians of their ratios. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

Values = Mapping[str, float]


class Spread(NamedTuple):
    """A median and what it lies between."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of *values*, at least one."""
        return cls(median(values), min(values), max(values))


def interleaved(contestants: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield round and contestant, each round beginning with another one: nobody is always first."""
    for number in range(rounds):
        turn = number % len(contestants)
        for contestant in (*contestants[turn:], *contestants[:turn]):
            yield number, contestant


class Rounds:
    """What was measured: a number for each round, contestant and quantity."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, dict[str, float]]] = []

    def add(self, number: int, contestant: str, values: Values) -> None:
        """Note what *contestant* measured in round *number*, counted from 0."""
        while len(self.rounds) <= number:
            self.rounds.append({})
        self.rounds[number][contestant] = dict(values)

    @property
    def contestants(self) -> list[str]:
        """Everyone who took part, in the order of the first round."""
        return list(dict.fromkeys(name for each in self.rounds for name in each))

    def spread(self, contestant: str, quantity: str) -> Spread:
        """Return the spread of *quantity* over the rounds."""
        return Spread.of([each[contestant][quantity] for each in self.rounds if contestant in each])

    def ratio(self, contestant: str, other: str, quantity: str) -> Spread:
        """Return the spread of *contestant* over *other*, taken within each round that has both."""
        return Spread.of(
            [
                each[contestant][quantity] / each[other][quantity]
                for each in self.rounds
                if contestant in each and other in each
            ]
        )
