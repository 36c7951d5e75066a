"""How many secrets of each shape are gone, wherever they stand in what agents read, write and run."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import NamedTuple

from secret_examples import Example, examples
from secret_positions import events
from trailhouse.redaction.redactor import Redactor

LEFT_CHARACTERS = 12
"""So much of a secret in a row must not be left."""


class Recall(NamedTuple):
    """What was planted and what was left, by category."""

    planted: Counter[str]
    left: Counter[str]
    places: list[tuple[str, str, str]]
    """Category, form and position of each secret that was left."""

    @property
    def share(self) -> float:
        """The share of all secrets that is gone, 0 to 1."""
        return 1 - self.left.total() / self.planted.total()

    @property
    def by_category(self) -> dict[str, float]:
        """The share that is gone of each category."""
        return {name: 1 - self.left[name] / count for name, count in self.planted.items()}


def recall(redactor: Redactor, seed: int, every: int = 1) -> Recall:
    """Plant every form of secret in every position, or each in one of *every* positions, and count what is left."""
    planted, left = Counter[str](), Counter[str]()
    places: list[tuple[str, str, str]] = []
    made = random.Random(seed)  # noqa: S311 - no secret is made for use
    for number, example in enumerate(examples(made)):
        for at, (place, data) in enumerate(events(example.text, example.name).items()):
            if (at + number) % every:
                continue
            planted[example.category] += 1
            if is_left(example, json.dumps(redactor.without_secrets(data), ensure_ascii=False)):
                left[example.category] += 1
                places.append((example.category, example.form, place))
    return Recall(planted, left, places)


def is_left(example: Example, text: str) -> bool:
    """Tell whether the secret, or the last characters of it, can still be read in *text*."""
    return example.secret in text or example.secret[-LEFT_CHARACTERS:] in text
