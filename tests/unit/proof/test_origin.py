"""The names of logs: what they are made of comes back, and nothing else is one."""

import pytest

from trailhouse.proof.origin import LogOrigin, generation_number, log_topic_id, parse_origin
from trailhouse.schemas.errors import ProofError

ORIGIN = LogOrigin("audit.example.org/agents", "agent-events", "AAAAAAAAAAAAAAAAAAAAAA", 3)


def test_an_origin_comes_back() -> None:
    """Also where the log's name holds slashes; the generation after names what the one before ended with."""
    assert parse_origin(str(ORIGIN)) == ORIGIN
    after = ORIGIN.successor("text\n")
    # sha256 of "text\n"
    assert after.generation == "2-b9e68e1bea3e5b19ca6b2f98b73a54b7"
    assert (parse_origin(str(after)), after.generation_number) == (after, 2)
    assert after.successor("text\n").generation_number == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/b/c/0",
        "/b/c/0/1",
        "a/b//0/1",
        "a/b/c/-1/1",
        "a/b/c/01/1",
        "a/b/c/x/1",
        "a/b/c/\u0661/1",
        "a/b/c/0/0",
        "a/b/c/0/01",
        "a/b/c/0/1-" + "0" * 32,
        "a/b/c/0/2-" + "0" * 31,
        "a/b/c/0/2-" + "A" * 32,
        "a/b/c/0/1\n",
        "a b/b/c/0/1",
        "a+/b/c/0/1",
    ],
)
def test_a_malformed_origin_is_refused(text: str) -> None:
    """Two texts never name one log."""
    with pytest.raises(ProofError):
        parse_origin(text)


def test_a_topic_id_stands_in_the_name_in_base64_for_urls() -> None:
    """Kafka's clients give ids with slashes and pluses, which the name of a log cannot hold."""
    name = str(ORIGIN._replace(topic_id="tHo/1UB6Rxm3l+mFDyZsPA"))

    assert parse_origin(name).topic_id == log_topic_id("tHo/1UB6Rxm3l+mFDyZsPA")
    assert parse_origin(name).topic_id == "tHo_1UB6Rxm3l-mFDyZsPA"


def test_the_number_of_a_generation_is_read_from_whatever_somebody_has_stored() -> None:
    """A sign may be a digit and no number, and Python refuses to read very long ones."""
    assert [generation_number(text) for text in ("1", "2-" + "0" * 32)] == [1, 2]
    assert {generation_number(text) for text in ("", "²", "²-0", "-1", "x", "9" * 5_000)} == {0}
