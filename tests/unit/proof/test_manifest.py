"""Manifests: what shows a session, what shows that there is none, and what shows neither."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plain_tree import plain_root
from trailhouse.proof.manifest import (
    DAY_MS,
    Entry,
    Header,
    Manifest,
    SessionLeaves,
    ShownSession,
    check_shown,
    day_of,
    first_ms,
    next_listed,
    session_key,
)
from trailhouse.proof.merkle import leaf_hash
from trailhouse.schemas.errors import ProofError

ORIGIN = "audit.example.org/agents/agent-events/AAAA/0/1"
DAY = "2026-11-28"


def key_of(session: int) -> bytes:
    """Return the key of a session of these tests."""
    return session_key(ORIGIN, DAY, "acme", f"session-{session}")


def manifest_of(sessions: int) -> Manifest:
    """Return a manifest of so many sessions, each of other leaves."""
    entries = [Entry(key_of(at), at + 1, leaf_hash(b"%d" % at)) for at in range(sessions)]
    return Manifest(Header(ORIGIN, DAY, 10, 10 + 3 * sessions, sessions), entries)


def test_vector() -> None:
    """A manifest of two sessions has this header, these keys and this root."""
    made = manifest_of(2)
    assert made.header.content == (
        b"trailhouse-manifest/1\naudit.example.org/agents/agent-events/AAAA/0/1\n2026-11-28\n10\n16\n2\n"
    )
    assert key_of(0).hex() == "7932d5a4af30841ff89ed4d130c6da2a43dcb762ce9e4827579d366a06cc6d25"
    assert key_of(1).hex() == "6d0bed03693f220e23b5acf1392c98fa585201a85e0c15969e24559724345fe8"
    assert made.root.hex() == "3b906dbf015b3344edfca92642a692724ac3e324f53eb6b29ac6685e16d87b1b"
    assert (made.as_anchored.sessions, made.as_anchored.root) == (2, made.root)


def test_the_root_is_of_header_and_sorted_entries() -> None:
    """It is the RFC's tree over them, and each entry is 72 bytes."""
    made = manifest_of(5)
    entries = sorted(made.entries, key=lambda each: each.key)
    contents = [made.header.content, *(each.content for each in entries)]
    assert {len(each) for each in contents[1:]} == {72}
    assert made.root == plain_root([leaf_hash(content) for content in contents])


@given(st.integers(0, 30), st.integers(0, 40))
def test_each_session_is_shown_or_shown_absent(sessions: int, asked: int) -> None:
    """Whichever is asked for: its entry where it has one, and nobody can show it as absent; else its neighbours."""
    made = manifest_of(sessions)
    shown = made.show(key_of(asked))
    entry = check_shown(shown, key_of(asked), made.root)
    assert (entry is not None) == (asked < sessions)
    if entry is not None:
        assert (entry.leaves, entry.root) == (asked + 1, leaf_hash(b"%d" % asked))


@given(st.integers(1, 7), st.data())
def test_no_other_parts_show_that_a_session_is_absent(sessions: int, data: st.DataObject) -> None:
    """Whatever true entries of the manifest are put together, a session that is in it is not shown to be absent."""
    made = manifest_of(sessions)
    asked = key_of(data.draw(st.integers(0, sessions - 1)))
    every = {made.show(key_of(at)).entries[0] for at in range(sessions)}
    whole = made.show(asked)
    for parts in [(), *((each,) for each in every), *product(every, repeat=2)]:
        try:
            found = check_shown(
                ShownSession(whole.header, whole.header_proof, parts), asked, made.root
            )
        except ProofError:
            continue
        assert found is not None
        assert found.key == asked


def test_what_is_changed_shows_nothing() -> None:
    """Another root, header, count, leaf or place: neither shown nor absent."""
    made = manifest_of(6)
    for asked in (3, 99):
        shown, key = made.show(key_of(asked)), key_of(asked)
        header, proof, entries = shown
        first = entries[0]
        wrong = (
            ShownSession(header._replace(sessions=5), proof, entries),
            ShownSession(header._replace(end_offset=1), proof, entries),
            ShownSession(header._replace(day="2026-11-27"), proof, entries),
            ShownSession(header, proof[1:], entries),
            ShownSession(header, (*proof, made.root), entries),
            ShownSession(header, proof, ()),
            ShownSession(header, proof, entries + entries),
            ShownSession(header, proof, entries[::-1] + entries),
            ShownSession(header, proof, (first._replace(place=first.place + 1), *entries[1:])),
            ShownSession(header, proof, (first._replace(proof=first.proof[1:]), *entries[1:])),
            ShownSession(
                header, proof, (first._replace(entry=first.entry._replace(leaves=9)), *entries[1:])
            ),
        )
        for each in wrong:
            with pytest.raises(ProofError):
                check_shown(each, key, made.root)
        with pytest.raises(ProofError):
            check_shown(shown, key, bytes(32))
        with pytest.raises(ProofError):
            check_shown(shown, key_of(4), made.root)


def test_keys_tell_tenant_session_day_and_log_apart() -> None:
    """No two of them run together, whatever names hold."""
    places = [
        (ORIGIN, DAY, "a", "b"),
        (ORIGIN, DAY, "ab", ""),
        (ORIGIN, DAY, "", "ab"),
        (ORIGIN, DAY, "b", "a"),
        (ORIGIN, "2026-11-29", "a", "b"),
        (ORIGIN + "/x", DAY, "a", "b"),
    ]
    assert len({session_key(*place) for place in places}) == len(places)


def test_two_entries_of_one_session_make_no_manifest() -> None:
    """Nor do more or fewer than the header says."""
    entry = Entry(key_of(1), 1, bytes(32))
    for entries in ([entry, entry], [entry], [entry._replace(key=bytes(32)), entry, entry]):
        with pytest.raises(ProofError):
            Manifest(Header(ORIGIN, DAY, 0, 3, 2), entries)


def test_leaves_may_come_a_few_at_a_time() -> None:
    """The root of a session is that over all of its leaves, however they came."""
    hashes = [leaf_hash(b"%d" % at) for at in range(9)]
    leaves = SessionLeaves()
    leaves.extend(hashes[:4])
    leaves.extend(hashes[4:])
    assert leaves.entry(b"k") == Entry(b"k", 9, plain_root(hashes))


def test_days_without_a_record_are_listed_but_for_very_many() -> None:
    """So a year without a record is listed day by day, and no more than that where a clock was wrong."""
    assert next_listed(DAY, "2026-11-29") == "2026-11-29"
    assert next_listed(DAY, "2027-11-29") == "2026-11-29"
    assert next_listed(DAY, "2027-11-30") == "2027-11-30"
    assert next_listed("1970-01-01", DAY) == DAY
    assert next_listed(DAY, "1970-01-01") == "2026-11-29"


def test_days() -> None:
    """A day is UTC's, from its first millisecond to its last; what is no day is refused."""
    at = first_ms(DAY)
    assert (day_of(at), day_of(at + DAY_MS - 1), day_of(at - 1)) == (DAY, DAY, "2026-11-27")
    assert (day_of(0), first_ms("1970-01-01")) == ("1970-01-01", 0)
    for text in ("", "2026-13-01", "20261128", "2026-11-28T00", "2026-W01-1", "28.11.2026"):
        with pytest.raises(ProofError, match="a day is"):
            first_ms(text)
