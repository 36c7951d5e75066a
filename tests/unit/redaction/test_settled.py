"""What is taken out at once stays as it is: shortcuts for what is most common find what the long way finds."""

import random

import pytest

from trailhouse.redaction import RedactionConfig, assignments
from trailhouse.redaction.redactor import Redactor

_PIECES = (
    "password", "my_token", "API_KEY", "secret", "is", "to", "hunter2Zq", "abc123XYZ9", "x9", "self.pwd", "name.password",
    "=", ":", "==", "+=", "!", "é", "密码", "&", " ", "\n", '"', "'", "\\", "\\n", "(", ")", ",", "|", "Bearer ", "db_pass",
    "--token", "[REDACTED:password]", "arn:aws:iam::1:x", ">", "${X}", "None", "glpat" + "-",
)  # fmt: skip


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    """A redactor as it comes."""
    return Redactor(RedactionConfig(), limit_bytes=1_000_000)


def _texts(seed: int) -> list[str]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    return ["".join(chance.choices(_PIECES, k=chance.randint(3, 14))) for _ in range(1_500)]


@pytest.mark.parametrize("seed", range(4))
def test_what_was_redacted_stays_as_it_is(redactor: Redactor, seed: int) -> None:
    """An event that is redacted again is the same: nothing was left that a second look finds."""
    for text in _texts(seed):
        once = redactor.without_secrets({"text": text})
        assert redactor.without_secrets(once) == once, text


def test_a_name_is_read_alike_the_first_time_and_later(redactor: Redactor) -> None:
    """What is remembered of a name changes nothing of what is found behind it."""
    for text in _texts(9):
        assignments.known_names.clear()
        first = redactor.spans(text.encode())
        assert redactor.spans(text.encode()) == first, text


def test_what_is_remembered_of_names_has_an_end(
    redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who makes up a name each time fills no memory."""
    monkeypatch.setattr(assignments, "MAX_KNOWN_NAMES", 50)
    for number in range(200):
        assert redactor.spans(f"password_{number}=hunter{number}Zq".encode())
        assert len(assignments.known_names) <= 50
