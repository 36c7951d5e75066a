"""A column of texts is told from any other, however ClickHouse numbers its texts."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.rows.texts import Texts

TEXTS = st.lists(st.sampled_from([f"text {n}" for n in range(400)]), min_size=1, max_size=600)


def are(added: list[str], sent: list[str], size: int, shift: int) -> bool:
    """Tell what `Texts` says of *added*, in parts, and of *sent*, whose dictionary begins with *shift* others."""
    texts = Texts()
    for begin in range(0, len(added), size):
        texts.add(added[begin : begin + size])
    different = [f"other {n}" for n in range(shift)] + sorted(set(sent))
    code = "B" if len(different) <= 256 else "H"
    return texts.are([each.encode() for each in different], array(code, map(different.index, sent)))


@given(TEXTS, st.integers(1, 100), st.integers(0, 3))
def test_the_same_texts_are_the_same(values: list[str], size: int, shift: int) -> None:
    """The same texts are the same by any dictionary, and with any that is not used."""
    assert are(values, values, size, shift)


@given(TEXTS, st.integers(1, 100), st.integers(0, 3), st.data())
def test_another_text_is_not(values: list[str], size: int, shift: int, data: st.DataObject) -> None:
    """One text that is another, one more and one less are told, known ones and unknown ones."""
    place = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(st.sampled_from(["unknown", *values]))
    for sent in (
        [*values[:place], *values[place + 1 :], "unknown"],
        [*values, other],
        values[:-1],
        [*values[:place], other, *values[place + 1 :]],
    ):
        assert are(values, sent, size, shift) == (values == sent)


def test_bytes_that_are_no_text_are_not() -> None:
    """What ClickHouse holds instead of a text, bytes that are no UTF-8, is not the text."""
    texts = Texts()
    texts.add(["\\xff", "a"])
    assert not texts.are([b"\xff", b"a"], array("B", [0, 1]))
