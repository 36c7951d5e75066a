"""What nobody but a holder of the keys can put into a bundle: each text has one form, and says one thing."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from bundle_checkers import again, expect
from made_bundle import FIRST_DAY, LOG, LOG_KEY, ORIGIN, OTHER, OWNER, MadeLog
from made_keys import made_key
from trailhouse.operate.prove.bundle_files import Evidence, archive_of, bundle_of
from trailhouse.operate.prove.check import read_archive
from trailhouse.proof.anchor import anchor_name
from trailhouse.proof.checkpoint import Checkpoint
from trailhouse.proof.keys import note_signed
from trailhouse.proof.manifest import Header, Manifest, session_key
from trailhouse.proof.merkle import HOLE_HASH
from trailhouse.proof.policy import owner_name

MADE = MadeLog()
SESSION = MADE.whole_session("session-1")
FILES = read_archive(bundle_of(SESSION, None))
replace = msgspec.structs.replace


def _signed_again(files: dict[str, bytes]) -> bytes:
    """Return *files* as a bundle that the log has signed: nothing but the change itself can be found."""
    sums = read_archive(again(files))["SHA256SUMS"]
    text = f"trailhouse-bundle/1\n{sha256(sums).hexdigest()}\n"
    note = note_signed(text, LOG_KEY, f"{LOG}/bundle").encode()
    return archive_of(read_archive(again(files)) | {"bundle.note": note})


def _anchored(change: str, text: str, by: str = "anchors/000000001.anchor") -> tuple[str, bytes]:
    note = note_signed(text, LOG_KEY, anchor_name(LOG)).encode()
    return change, _signed_again(FILES | {by: note})


def _changed_json(name: str, **fields: Any) -> bytes:
    return _signed_again(FILES | {name: json.dumps(json.loads(FILES[name]) | fields).encode()})


def test_the_log_signs_anchors_of_one_form() -> None:
    """A line too much, too few, out of place, doubled, or a number written otherwise: no anchor, whoever signed it."""
    text, lines = MADE.anchor.text, MADE.anchor.text.splitlines()
    checkpoint, other = lines[7], lines[8]
    assert (lines[6], lines[9]) == ("2", str(len(MADE.anchor.manifests)))
    expect(
        dict(
            [
                _anchored("a line more", text + "x\n"),
                _anchored("a line less", "\n".join(lines[:-1]) + "\n"),
                _anchored("an order less than it says", text.replace("\n0\n0\n", "\n1\n0\n")),
                _anchored(
                    "not sorted", text.replace(f"{checkpoint}\n{other}", f"{other}\n{checkpoint}")
                ),
                _anchored(
                    "doubled", text.replace(f"2\n{checkpoint}", f"3\n{checkpoint}\n{checkpoint}")
                ),
                _anchored("a size as 040", text.replace(" 40 ", " 040 ")),
                _anchored("a root of 31 bytes", text.replace(other[-44:], other[-44:-4] + "AA==")),
                _anchored(
                    "a policy's hash cut", text.replace(MADE.policy.sha256, MADE.policy.sha256[:-1])
                ),
                _anchored("the first follows one", text.replace("\n-\n", f"\n{'0' * 64}\n")),
            ]
        ),
        1,
    )


def _with_second(**fields: Any) -> Evidence:
    first = SESSION.anchors[1]
    after = sha256(first.encode()).hexdigest()
    second = replace(
        MADE.anchor, number=2, **({"previous_sha256": after, "manifests": ()} | fields)
    )
    return replace(
        SESSION, anchors={1: first, 2: note_signed(second.text, LOG_KEY, anchor_name(LOG))}
    )


def test_anchors_follow_each_other_and_agree() -> None:
    """The second names the first by its hash, and neither a size nor a day has two roots between them."""
    mine, other = MADE.anchor.checkpoints
    (day,) = (
        each for each in MADE.anchor.manifests if (each.day, each.origin) == (FIRST_DAY, ORIGIN)
    )
    expect({"both": bundle_of(_with_second(), None)}, 0)
    expect(
        {
            "after another one": bundle_of(_with_second(previous_sha256="0" * 64), None),
            "after none": bundle_of(_with_second(previous_sha256="-"), None),
            "a fork": bundle_of(
                _with_second(checkpoints=(mine, Checkpoint(OTHER, 1, HOLE_HASH[::-1]))), None
            ),
            "a fork of what is proven": bundle_of(
                _with_second(checkpoints=(Checkpoint(ORIGIN, mine.size, HOLE_HASH), other)), None
            ),
            "two manifests of a day": bundle_of(
                _with_second(manifests=(replace(day, root=HOLE_HASH),)), None
            ),
        },
        1,
    )


@pytest.mark.parametrize("with_anchor", [True, False])
def test_tokens_are_for_anchors_that_are_there(with_anchor: bool) -> None:
    """A token beside its anchor is passed over; one of an anchor that is not in the bundle does not belong there."""
    tokens = {1 if with_anchor else 2: [b"a token"]}
    expect({"token": bundle_of(replace(SESSION, tokens=tokens), None)}, 0 if with_anchor else 1)


def test_manifests_are_where_they_belong() -> None:
    """Without a gap in their names, sorted, and of the fields that the page says."""
    names = sorted(name for name in FILES if name.startswith("manifests/"))
    first, second, last = names[0], names[1], names[-1]
    kept = {name: data for name, data in FILES.items() if name != last}
    expect(
        {
            "a gap": _signed_again(kept | {"manifests/000009.json": FILES[last]}),
            "swapped": _signed_again(FILES | {first: FILES[second], second: FILES[first]}),
            "a field more": _changed_json(first, more=1),
            "no list": _changed_json(last, entries={}),
            "a number as a text": _changed_json(first, first_offset="0"),
            "a number as a truth": _changed_json(last, first_offset=False),
        },
        1,
    )


def test_what_a_bundle_says_of_itself_has_one_form() -> None:
    """Its fields are there, of their kinds, and no others, down to those of each event."""
    events = json.loads(FILES["bundle.json"])["events"]
    expect(
        {
            "time as a text": _changed_json("bundle.json", made_at_ms="0"),
            "time below 0": _changed_json("bundle.json", made_at_ms=-1),
            "no events": _changed_json("bundle.json", events={}),
            "an event of more": _changed_json(
                "bundle.json", events=[events[0] | {"n": 1}, *events[1:]]
            ),
            "a session of more": _changed_json(
                "bundle.json", session={"tenant_id": "acme", "session_id": "session-1", "n": 1}
            ),
            "a tenant that is none": _changed_json(
                "bundle.json", session={"tenant_id": None, "session_id": "session-1"}
            ),
        },
        1,
    )


def _of_policy(**fields: Any) -> bytes:
    text = json.dumps(json.loads(MADE.policy.text.split("\n")[1]) | fields, sort_keys=True)
    policy = f"trailhouse-policy/1\n{text}\n"
    anchor = replace(MADE.anchor, policy_sha256=sha256(policy.encode()).hexdigest())
    return _signed_again(
        FILES
        | {
            "policies/000001.policy": note_signed(policy, OWNER, owner_name(LOG)).encode(),
            "anchors/000000001.anchor": note_signed(
                anchor.text, LOG_KEY, anchor_name(LOG)
            ).encode(),
        }
    )


def test_a_policy_has_its_fields() -> None:
    """Those that bundles need are there and of their kinds; a key has no other; what else it says is passed over."""
    (key,) = json.loads(MADE.policy.text.split("\n")[1])["log_keys"]
    expect({"as it is": _of_policy(), "a field that is new": _of_policy(new=[1])}, 0)
    expect(
        {
            "a field of a key that is new": _of_policy(log_keys=[key | {"new": 1}]),
            "sizes as a list": _of_policy(log_keys=[key | {"first_sizes": []}]),
            "revoked as a number": _of_policy(log_keys=[key | {"is_revoked": 0}]),
            "revoked from no anchor on": _of_policy(log_keys=[key | {"is_revoked": True}]),
            "a quorum as a text": _of_policy(quorum="0"),
            "a witness of another id": _of_policy(witnesses=["witness.example+00000000+BAAA"]),
        },
        1,
    )


def test_each_key_that_counts_is_looked_at() -> None:
    """A false signature by a second key makes a note false, though the first one has signed rightly."""
    key, second = MADE.policy.log_keys[0], made_key(7)
    policy = replace(
        MADE.policy, log_keys=(key, replace(key, public_key=_base64(second.public_key)))
    )
    anchor = replace(MADE.anchor, policy_sha256=policy.sha256)
    text = MADE.checkpoint.text

    def bundle(signed: str) -> bytes:
        line = note_signed(signed, second, ORIGIN).rpartition("\n\n")[2]
        events = [replace(each, proof=each.proof + line) for each in SESSION.events]
        return bundle_of(
            replace(
                SESSION,
                events=events,
                policies=[note_signed(policy.text, OWNER, owner_name(LOG))],
                anchors={1: note_signed(anchor.text, LOG_KEY, anchor_name(LOG))},
            ),
            None,
        )

    expect({"both": bundle(text)}, 0)
    expect({"the second falsely": bundle(text.replace("40", "41"))}, 1)


def _base64(raw: bytes) -> str:
    return msgspec.json.decode(msgspec.json.encode(raw), type=str)


def _stranger_signs(name: str) -> bytes:
    note = FILES["anchors/000000001.anchor"].decode() + f"\u2014 {name} {_base64(bytes(68))}\n"
    return _signed_again(FILES | {"anchors/000000001.anchor": note.encode()})


def test_a_name_has_no_white_space_of_unicode() -> None:
    """Who signs beside the log may be called anything without white space; what that is, Unicode says."""
    spaces = [*"\x85\xa0\u1680\u2003\u2028\u202f\u3000", "+"]
    expect({f"a{each!r}b": _stranger_signs(f"a{each}b") for each in spaces}, 1)
    expect({f"a{each!r}b": _stranger_signs(f"a{each}b") for each in "\ufeff\u200b\u180e"}, 0)


def test_a_whole_number_has_one_text() -> None:
    """`7.0`, `7e0` and `-0` are not the number that they are equal to."""
    manifest = FILES["manifests/000000.json"]
    assert b'"first_offset":0,' in manifest
    for other in (b"0.0", b"0e0", b"-0"):
        changed = manifest.replace(b'"first_offset":0,', b'"first_offset":' + other + b",")
        expect({other.decode(): _signed_again(FILES | {"manifests/000000.json": changed})}, 1)


def test_json_is_that_of_the_standard_in_utf_8() -> None:
    """No other encoding, no mark of bytes' order, and none of the words that Python alone reads."""
    about = FILES["bundle.json"].decode()
    others = {
        "UTF-16": about.encode("utf-16"),
        "a mark": b"\xef\xbb\xbf" + about.encode(),
        "NaN": about.replace('"made_at_ms":', '"made_at_ms":NaN,"made_at_ms":').encode(),
    }
    expect({name: _signed_again(FILES | {"bundle.json": raw}) for name, raw in others.items()}, 1)


def test_a_day_is_one_of_the_calendar_and_a_time_any() -> None:
    """An anchor's clock may stand after the year 9999; a manifest is of no 30th of February, nor of the year 0."""
    far = {
        str(at_ms): _anchored("far", replace(MADE.anchor, at_ms=at_ms).text)[1]
        for at_ms in (253_402_300_800_000, 2**53 + 1, 2**63 - 1)
    }
    expect(far, 0)
    days = ("2026-02-30", "0000-01-01", "2026-13-01", "2025-02-29", "2026-11-31")
    wrong: dict[str, bytes] = {}
    for day in days:
        manifest = Manifest(Header(OTHER, day, 0, 0, 0), [])
        alone = replace(
            SESSION, events=[], manifests=[manifest.show(session_key(OTHER, day, "acme", "s"))]
        )
        anchor = replace(MADE.anchor, manifests=(manifest.as_anchored,)).text
        signed = note_signed(anchor, LOG_KEY, anchor_name(LOG))
        wrong[day] = bundle_of(replace(alone, anchors={1: signed}), None)
    expect(wrong, 1)


def test_numbers_are_whole_up_to_the_last_that_may_be() -> None:
    """2^63 - 1 is one, and 2^63 is none; what a float takes for the same number is not the same."""
    name = "bundle.json"
    expect({"largest": _changed_json(name, made_at_ms=2**63 - 1)}, 0)
    expect({"too large": _changed_json(name, made_at_ms=2**63)}, 1)
