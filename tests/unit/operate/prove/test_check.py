"""Bundles through check.py and through a second checker, in JavaScript: they agree, and no attack passes either."""

import base64
import json
from collections.abc import Callable, Iterator

import msgspec
import pytest

from bundle_checkers import again, changed, expect
from made_bundle import LOG, LOG_KEY, ORIGIN, OTHER, OWNER, MadeLog
from made_keys import made_key
from trailhouse.operate.prove.bundle_files import (
    MAX_EVENTS,
    BundledEvent,
    Evidence,
    archive_of,
    bundle_of,
)
from trailhouse.operate.prove.check import read_archive
from trailhouse.proof.anchor import anchor_name
from trailhouse.proof.keys import fingerprint, note_signed
from trailhouse.proof.note import COSIGNATURE_TYPE, Signature, key_id, signed, verifier_key
from trailhouse.proof.policy import owner_name
from trailhouse.schemas.errors import ProofError

MADE = MadeLog()
SESSION = MADE.whole_session("session-1")
SIGNED, UNSIGNED = bundle_of(SESSION, LOG_KEY), bundle_of(SESSION, None)
SELECTION = bundle_of(MADE.evidence(MADE.events[:3]), LOG_KEY)


def test_true_bundles_are_proven() -> None:
    """Whole sessions by their manifests, selections by the log's signature; a session that is not there too."""
    absent = MADE.evidence([], "nobody")
    expect(
        {
            "signed": SIGNED,
            "unsigned": UNSIGNED,
            "selection": SELECTION,
            "absent": bundle_of(absent, None),
        },
        0,
    )


def test_what_cannot_be_checked_is_not_called_proven() -> None:
    """Without a pin, without a signature or manifests, without a record: exit code 2."""
    without_record = [msgspec.structs.replace(SESSION.events[0], record=None), *SESSION.events[1:]]
    expect({"signed": SIGNED, "selection": SELECTION}, 2, pin=None)
    expect(
        {
            "anybody may have taken events out": bundle_of(MADE.evidence(MADE.events[:3]), None),
            "events after the last manifest": bundle_of(
                MADE.evidence([e for e in MADE.events if e.session == "session-3"], "session-3"),
                None,
            ),
            "no record": bundle_of(msgspec.structs.replace(SESSION, events=without_record), None),
            "a log without manifests": bundle_of(
                msgspec.structs.replace(SESSION, manifests=SESSION.manifests[:3]), None
            ),
            "a day less of one log": bundle_of(
                msgspec.structs.replace(SESSION, manifests=SESSION.manifests[:-1]), None
            ),
        },
        2,
    )


def test_an_attackers_own_keys_prove_nothing() -> None:
    """A whole bundle by other keys: 1 where the owner is pinned, and 2, not 0, where nobody is."""
    files = read_archive(UNSIGNED)
    stranger = made_key(66)
    policy = note_signed(MADE.policy.text, stranger, owner_name(LOG)).encode()
    about = json.loads(files["bundle.json"]) | {"owner": _base64(stranger.public_key)}
    forged = again(
        files | {"policies/000001.policy": policy, "bundle.json": json.dumps(about).encode()}
    )
    expect({"forged": forged}, 1)
    expect({"forged": forged}, 2, pin=None)
    expect({"forged": forged}, 0, pin=fingerprint(stranger.public_key))
    expect({"true": SIGNED}, 1, pin=fingerprint(stranger.public_key))


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _events(evidence: Evidence, change: Callable[[list[BundledEvent]], object]) -> bytes:
    events = list(evidence.events)
    change(events)
    return bundle_of(msgspec.structs.replace(evidence, events=events), None)


def _attacks_on_events() -> Iterator[tuple[str, bytes]]:
    first = SESSION.events[0]
    replace = msgspec.structs.replace
    stranger_events = MADE.evidence([e for e in MADE.events if e.session == "session-2"]).events
    yield "the last event removed", _events(SESSION, lambda e: e.pop())
    yield "an event in the middle removed", _events(SESSION, lambda e: e.pop(3))
    yield "all events of a day removed", _events(SESSION, lambda e: e.__delitem__(slice(0, 4)))
    yield "every event removed", _events(SESSION, lambda e: e.clear())
    yield "an event doubled", _events(SESSION, lambda e: e.append(e[0]))
    yield "an event of another session", _events(SESSION, lambda e: e.append(stranger_events[0]))
    yield (
        "a record for another",
        _events(SESSION, lambda e: e.__setitem__(0, replace(first, record=e[1].record))),
    )
    yield (
        "a record changed",
        _events(
            SESSION, lambda e: e.__setitem__(0, replace(first, record=(first.record or b"") + b" "))
        ),
    )
    yield (
        "an event at another offset",
        _events(SESSION, lambda e: e.__setitem__(0, replace(first, offset=2))),
    )
    yield (
        "an event in another log",
        _events(SESSION, lambda e: e.__setitem__(0, replace(first, origin=OTHER))),
    )
    yield (
        "the proof of another",
        _events(SESSION, lambda e: e.__setitem__(0, replace(first, proof=e[1].proof))),
    )


def _attacks_on_a_proof() -> Iterator[tuple[str, bytes]]:
    first, replace = SESSION.events[0], msgspec.structs.replace
    lines = first.proof.split("\n")
    for what, proof in {
        "a hash more": "\n".join([*lines[:3], lines[3], *lines[3:]]),
        "a hash less": "\n".join([*lines[:3], *lines[4:]]),
        "index + 1": first.proof.replace(f"index {first.offset}", f"index {first.offset + 1}"),
        "index as 01": first.proof.replace(f"index {first.offset}", f"index 0{first.offset}"),
        "size 0": first.proof.replace("\n40\n", "\n0\n"),
        "size 1": first.proof.replace("\n40\n", "\n1\n"),
        "size 39": first.proof.replace("\n40\n", "\n39\n"),
        "size 040": first.proof.replace("\n40\n", "\n040\n"),
        "no signature": first.proof.rpartition("\u2014")[0],
    }.items():
        assert proof != first.proof
        events = [replace(first, proof=proof), *SESSION.events[1:]]
        yield what, bundle_of(replace(SESSION, events=events), None)


def _attacks_on_the_rest() -> Iterator[tuple[str, bytes]]:
    files = read_archive(UNSIGNED)
    yield "two events change places", changed(files, "bundle.json", *_swapped(files["bundle.json"]))
    for name in (
        "policies/000001.policy",
        "anchors/000000001.anchor",
        "check.py",
    ):
        yield f"without {name}", again({n: d for n, d in files.items() if n != name})
    yield (
        "without a manifest in the middle",
        again({n: d for n, d in files.items() if n != "manifests/000001.json"}),
    )
    yield (
        "a manifest of another root",
        changed(files, "manifests/000000.json", b'"sessions":4', b'"sessions":3'),
    )
    yield (
        "a manifest of fewer offsets",
        changed(files, "manifests/000000.json", b'"first_offset":0', b'"first_offset":4'),
    )


def _attacks_on_the_session() -> Iterator[tuple[str, bytes]]:
    files = read_archive(UNSIGNED)
    replace = msgspec.structs.replace
    yield (
        "another session asked for",
        changed(files, "bundle.json", b'"session_id":"session-1"', b'"session_id":"session-2"'),
    )
    yield (
        "another tenant asked for",
        changed(files, "bundle.json", b'"tenant_id":"acme"', b'"tenant_id":"acmf"'),
    )
    yield (
        "no session asked for",
        changed(
            files,
            "bundle.json",
            b'"session":{"session_id":"session-1","tenant_id":"acme"}',
            b'"session":null',
        ),
    )
    yield (
        "manifests of another session",
        bundle_of(replace(SESSION, manifests=MADE.evidence([], "session-2").manifests), None),
    )
    yield (
        "a present session as absent",
        bundle_of(
            replace(
                MADE.evidence([], "session-1"), manifests=MADE.evidence([], "nobody").manifests
            ),
            None,
        ),
    )


def _swapped(about: bytes) -> tuple[bytes, bytes]:
    events = json.loads(about)["events"][:2]
    one, other = (msgspec.json.encode(each, order="sorted") for each in events)
    return one + b"," + other, other + b"," + one


def test_no_attack_passes() -> None:
    """Whoever has the bundle, and not the log's keys, changes it and its sums as he likes: it is found by both."""
    attacks = {
        what: attack
        for attacks_on in (
            _attacks_on_events,
            _attacks_on_a_proof,
            _attacks_on_the_rest,
            _attacks_on_the_session,
        )
        for what, attack in attacks_on()
    }
    assert len(attacks) > 30
    expect(attacks, 1)


def test_a_signed_selection_keeps_all_its_events() -> None:
    """What the log has chosen and signed, nobody takes an event out of; without the signature nobody calls it whole."""
    files = read_archive(SELECTION)
    less = bundle_of(MADE.evidence(MADE.events[:2]), None)
    with_the_note = archive_of(read_archive(less) | {"bundle.note": files["bundle.note"]})
    stranger = note_signed(f"trailhouse-bundle/1\n{'0' * 64}\n", made_key(66), f"{LOG}/bundle")
    expect(
        {
            "the signature of another": with_the_note,
            "a stranger's": archive_of(read_archive(less) | {"bundle.note": stranger.encode()}),
        },
        1,
    )
    expect({"taken away": less}, 2)


def _with_policy(**fields: object) -> Evidence:
    policy = msgspec.structs.replace(MADE.policy, **fields)
    anchor = msgspec.structs.replace(MADE.anchor, policy_sha256=policy.sha256)
    return msgspec.structs.replace(
        SESSION,
        policies=[note_signed(policy.text, OWNER, owner_name(LOG))],
        anchors={1: note_signed(anchor.text, LOG_KEY, anchor_name(LOG))},
    )


def test_keys_count_for_what_the_policy_says() -> None:
    """Not for larger logs than theirs, nor after they were revoked; two versions follow each other, or are refused."""
    (key,) = MADE.policy.log_keys
    closed = msgspec.structs.replace(key, last_sizes={ORIGIN: 39}, last_anchor=1)
    open_still = msgspec.structs.replace(key, last_sizes={ORIGIN: 40}, last_anchor=1)
    revoked = msgspec.structs.replace(open_still, is_revoked=True)
    too_late = msgspec.structs.replace(revoked, last_anchor=0)
    second = msgspec.structs.replace(MADE.policy, version=2, previous=MADE.policy.sha256)
    two = [*SESSION.policies, note_signed(second.text, OWNER, owner_name(LOG))]
    alien = msgspec.structs.replace(second, previous="0" * 64)
    expect(
        {
            "its last size": bundle_of(_with_policy(log_keys=(open_still,)), None),
            "revoked, and anchored before": bundle_of(_with_policy(log_keys=(revoked,)), None),
            "two versions": bundle_of(msgspec.structs.replace(SESSION, policies=two), None),
        },
        0,
    )
    expect(
        {
            "above its last size": bundle_of(_with_policy(log_keys=(closed,)), None),
            "revoked, and anchored after": bundle_of(_with_policy(log_keys=(too_late,)), None),
            "the first is missing": bundle_of(
                msgspec.structs.replace(SESSION, policies=two[1:]), None
            ),
            "the second follows another": bundle_of(
                msgspec.structs.replace(
                    SESSION,
                    policies=[two[0], note_signed(alien.text, OWNER, owner_name(LOG))],
                ),
                None,
            ),
            "a policy that the anchor does not name": bundle_of(
                msgspec.structs.replace(_with_policy(anchor_seconds=61), anchors=SESSION.anchors),
                None,
            ),
        },
        1,
    )


def test_witnesses_count() -> None:
    """As many as the policy wants must have cosigned; fewer is not checked, and a false one is found."""
    witness = made_key(5)
    named = verifier_key("witness.example/1", witness.public_key, COSIGNATURE_TYPE)
    evidence = _with_policy(witnesses=(named,), quorum=1)

    def cosigned(key: object = witness, at: int = 1_764_374_400) -> Evidence:
        text = MADE.checkpoint.text
        content = f"cosignature/v1\ntime {at}\n{text}".encode()
        assert isinstance(key, type(witness))
        raw = at.to_bytes(8, "big") + key.sign(content)
        wanted = key_id("witness.example/1", witness.public_key, COSIGNATURE_TYPE)
        line = signed(text, [Signature("witness.example/1", wanted, raw)]).rpartition("\n\n")[2]
        events = [
            msgspec.structs.replace(each, proof=each.proof + line) for each in evidence.events
        ]
        return msgspec.structs.replace(evidence, events=events)

    expect({"cosigned": bundle_of(cosigned(), None)}, 0)
    expect({"not cosigned": bundle_of(evidence, None)}, 2)
    expect({"falsely cosigned": bundle_of(cosigned(made_key(6)), None)}, 1)


def test_a_bundle_is_not_made_too_large() -> None:
    """More events than an archive can hold are refused before anything is made."""
    events = [SESSION.events[0]] * (MAX_EVENTS + 1)
    with pytest.raises(ProofError, match="ask for fewer"):
        bundle_of(msgspec.structs.replace(SESSION, events=events), None)
