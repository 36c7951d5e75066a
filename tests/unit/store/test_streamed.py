"""An answer in pieces: whole to the byte, or an error, wherever it was cut."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.store.streamed import without_exception

TAG = "0123456789abcdef"
FAILURE = (
    f"\r\n__exception__\r\n{TAG}\r\nCode: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)\n"
    f"60 {TAG}\r\n__exception__\r\n"
)


@given(st.lists(st.binary(max_size=40_000), max_size=6))
def test_what_is_whole_passes_as_it_is(pieces: list[bytes]) -> None:
    """However it was cut, and whatever stands in it."""
    assert b"".join(without_exception(pieces, TAG)) == b"".join(pieces)


@given(st.binary(max_size=60_000), st.integers(1, 20_000))
def test_a_failure_at_the_end_is_an_error(content: bytes, size: int) -> None:
    """Never a part that looks whole, even where the mark lies across two pieces."""
    sent = content + FAILURE.encode()
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    with pytest.raises(DatabaseError, match=r"Code: 241"):
        list(without_exception(pieces, TAG))


def test_data_that_look_like_a_failure_are_data() -> None:
    """The tag is drawn for each answer: what an event holds cannot know it."""
    forged = FAILURE.replace(TAG, "f" * 16).encode()
    assert b"".join(without_exception([forged], TAG)) == forged
