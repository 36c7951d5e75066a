"""Cursors: they carry a place and no right, and are good for one walk, reader and secret."""

import base64
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.query.config import ReaderConfig
from trailhouse.query.cursor import MAX_CURSOR_CHARACTERS, Cursors, Walk
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouseConfig


class Position(NamedTuple):
    """The place of an answer, as reads have it."""

    number: int
    text: str
    content: bytes


PLACE = Position(1_770_000_000_000_000, "session of somebody", b"\xff\x00")
SECRET = "a secret of 32 characters or more"
WALK = Walk(query="type:run_failed", order="newest first", tenant_id="a", principal="reader-1")
texts = st.text(st.characters(), max_size=30)
walks = st.builds(Walk, query=texts, order=texts, tenant_id=st.none() | texts, principal=texts)


@given(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1), texts.filter(str.isprintable), st.binary(max_size=16)
    ),
    walks,
    texts,
)
def test_a_cursor_gives_its_place_back(place: Position, walk: Walk, secret: str) -> None:
    """Any place of any walk comes back as it was, with the same secret, in another process too."""
    secret = secret.encode("utf-8", "replace").decode()
    sealed = Cursors(secret).seal(place, walk)
    assert Cursors(secret).open(sealed, walk, Position) == place
    assert sealed.isascii()


@given(walks, walks)
def test_a_cursor_is_good_for_its_own_walk_alone(walk: Walk, other: Walk) -> None:
    """Two different walks never share a cursor."""
    sealed = Cursors(SECRET).seal(PLACE, walk)
    if walk == other:
        assert Cursors(SECRET).open(sealed, other, Position) == PLACE
    else:
        with pytest.raises(
            QueryError, match=r"cursor: is of another (tenant|principal|query|order)"
        ):
            Cursors(SECRET).open(sealed, other, Position)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"query": "type:run_completed"}, "query"),
        ({"order": "oldest first"}, "order"),
        ({"tenant_id": "b"}, "tenant"),
        ({"tenant_id": None}, "tenant"),
        ({"principal": "reader-2"}, "principal"),
        ({"principal": "reader-2", "query": "other"}, "principal"),
    ],
)
def test_the_error_says_what_differs(change: dict[str, Any], named: str) -> None:
    """Query, order, tenant or principal: said by name, and nothing of the cursor is shown."""
    sealed = Cursors(SECRET).seal(PLACE, WALK)
    other = msgspec.structs.replace(WALK, **change)
    with pytest.raises(QueryError) as caught:
        Cursors(SECRET).open(sealed, other, Position)
    assert str(caught.value) == f"cursor: is of another {named}; begin again without a cursor"


def test_a_cursor_of_another_secret_is_refused() -> None:
    """One that was changed, or another ClickHouse where none is set: never of which process it was."""
    here, there = (
        ClickHouseConfig(url="http://127.0.0.1:1", password=password) for password in ("x", "y")
    )
    none, set_ = ReaderConfig(), ReaderConfig(cursor_secret=SECRET)
    assert none.secret_for(here) == none.secret_for(here)
    assert set_.secret_for(here) == set_.secret_for(there) == SECRET
    sealed = Cursors(none.secret_for(here)).seal(PLACE, WALK)
    for other in (none.secret_for(there), SECRET):
        with pytest.raises(QueryError, match="cursor: was made with another secret"):
            Cursors(other).open(sealed, WALK, Position)


def test_every_altered_bit_is_noticed() -> None:
    """One bit anywhere, or another spelling of the same bytes: refused."""
    sealed = Cursors(SECRET).seal(PLACE, WALK)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        text = base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
        with pytest.raises(QueryError, match=r"altered|another secret"):
            Cursors(SECRET).open(text, WALK, Position)


@pytest.mark.parametrize(
    "text",
    ["", "x", "====", "a b", "é" * 99, "\ud800", "\0", "A" * 99, "A" * (MAX_CURSOR_CHARACTERS + 4), None, 5, b"AA"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: object) -> None:
    """Anything at all may be presented."""
    with pytest.raises(QueryError, match=r"^cursor: "):
        Cursors(SECRET).open(text, WALK, Position)


def test_another_spelling_of_a_cursor_is_refused() -> None:
    """Base64 would take padding and idle bits; ours has one spelling."""
    sealed = Cursors(SECRET).seal((1,), WALK)
    for text in (sealed + "=", sealed + "==", sealed + "\n", " " + sealed):
        with pytest.raises(QueryError, match="altered"):
            Cursors(SECRET).open(text, WALK, Position)


def test_a_place_of_another_kind_is_refused() -> None:
    """A cursor of ours in the wrong read is an error of the query, not of the program."""
    sealed = Cursors(SECRET).seal(("text",), WALK)
    with pytest.raises(QueryError, match="another query"):
        Cursors(SECRET).open(sealed, WALK, Position)
