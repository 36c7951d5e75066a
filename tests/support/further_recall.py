"""How many of the secrets that were written apart from the table are gone, wherever they stand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator

from further_forms import FURTHER_FORMS
from further_positions import further_events
from redaction_recall import LEFT_CHARACTERS, Recall
from secret_examples import made_of
from trailhouse.redaction.redactor import Redactor


def further_secrets(made: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Yield form, secret, the text that it stands in, and the variable that it needs, for each form."""
    for line in FURTHER_FORMS.strip().splitlines():
        for form in line.partition("|")[2].strip().split(" ; "):
            variable, _, shown = form[1:].partition(" ") if form.startswith("=") else ("", "", form)
            text = made_of(shown, made)
            if "[" not in shown:
                yield form, text, text, variable
                continue
            before, _, rest = text.partition("[")
            secret, _, after = rest.partition("]")
            yield form, secret, before + secret + after, variable


def further_recall(redactor: Redactor, seed: int, every: int = 1) -> Recall:
    """Plant each in every position, or in one of *every* positions, and count by form what is left."""
    planted, left = Counter[str](), Counter[str]()
    places: list[tuple[str, str, str]] = []
    made = random.Random(seed)  # noqa: S311 - no secret is made for use
    for number, (form, secret, text, variable) in enumerate(further_secrets(made)):
        for at, (place, data) in enumerate(further_events(secret, text, variable).items()):
            if (number + at) % every:
                continue
            planted[form] += 1
            shown = json.dumps(redactor.without_secrets(data), ensure_ascii=False)
            if secret in shown or secret[-LEFT_CHARACTERS:] in shown:
                left[form] += 1
                places.append((form, form, place))
    return Recall(planted, left, places)
