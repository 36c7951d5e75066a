"""Policies: what one may say, and what a version may change of the one before."""

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.proof.keys import FileSigner, is_signed_by, note_signed
from trailhouse.proof.note import COSIGNATURE_TYPE, ED25519_TYPE, verifier_key
from trailhouse.proof.policy import (
    Accepted,
    Authority,
    LogKey,
    OperatorKey,
    Policy,
    ServiceKey,
    check_follows,
    check_policy,
    owner_name,
    parse_policy,
)
from trailhouse.proof.policy_chain import policy_chain
from trailhouse.proof.policy_changes import with_accepted, without_accepted
from trailhouse.schemas.errors import ProofError

LOG = "log.example.org/agents"
OWNER = FileSigner(Ed25519PrivateKey.generate())
ORIGIN, OTHER = f"{LOG}/events/id/0/1", f"{LOG}/events/id/1/1"


def a_key(number: int) -> str:
    """Return the public key of a number, in base64."""
    seed = number.to_bytes(32, "big")
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return base64.b64encode(raw).decode()


def a_witness(name: str, number: int, kind: int = COSIGNATURE_TYPE) -> str:
    """Return the verifier key of a witness."""
    return verifier_key(name, base64.b64decode(a_key(number)), kind)


def an_authority(name: str, certificate: bytes, last_anchor: int | None = None) -> Authority:
    """Return a time-stamp authority."""
    return Authority(
        name=name, certificate=base64.b64encode(certificate).decode(), last_anchor=last_anchor
    )


def a_policy(**fields: Any) -> Policy:
    """Return a policy without a fault, but for what *fields* say."""
    given: dict[str, Any] = {
        "log_name": LOG,
        "version": 1,
        "log_keys": (LogKey(public_key=a_key(1)),),
    }
    return Policy(**given | fields)


def rotated(sizes: dict[str, int], first_sizes: dict[str, int], **fields: Any) -> Policy:
    """Return a policy of two keys of the log."""
    old = LogKey(public_key=a_key(1), last_sizes=sizes, last_anchor=7, **fields)
    return a_policy(log_keys=(old, LogKey(public_key=a_key(2), first_sizes=first_sizes)))


def accepted(**fields: Any) -> Accepted:
    """Return what an owner accepts, without a fault but for what *fields* say."""
    given: dict[str, Any] = {
        "cluster": "c",
        "topic": "events",
        "topic_id": "id",
        "partition": 4,
        "generation": "0",
        "size": 7,
        "root": a_key(3),
        "reason": "upgraded",
        "at_ms": 1,
    }
    return Accepted(**given | fields)


def test_what_is_accepted_is_replaced_by_log_and_taken_back() -> None:
    """A later word about one log takes the place of the earlier, and of what is taken back nothing is left."""
    first = with_accepted(a_policy(), [accepted(), accepted(partition=2)])
    assert [each.partition for each in first.accepted] == [2, 4]
    second = with_accepted(first, [accepted(size=9)])
    assert [(each.partition, each.size) for each in second.accepted] == [(2, 7), (4, 9)]
    third = without_accepted(second, [accepted(partition=2).log])
    assert [each.partition for each in third.accepted] == [4]
    assert third.version == 4


def signed(policy: Policy, owner: FileSigner = OWNER) -> str:
    """Return *policy* as its owner puts it into force."""
    return note_signed(policy.text, owner, owner_name(policy.log_name))


def next_of(policy: Policy, **fields: Any) -> Policy:
    """Return the version after *policy*."""
    return msgspec.structs.replace(
        policy, version=policy.version + 1, previous=policy.sha256, **fields
    )


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: a_policy(version=0), "version"),
        (lambda: a_policy(version=2), "the version before"),
        (lambda: a_policy(previous="0" * 64), "the version before"),
        (lambda: a_policy(version=2, previous="0" * 63 + "G"), "the version before"),
        (lambda: a_policy(log_name="a name"), "name of the log"),
        (lambda: a_policy(log_keys=()), "no key of the log"),
        (lambda: a_policy(log_keys=(LogKey(public_key="AAAA"),)), "not an Ed25519 key"),
        (lambda: a_policy(log_keys=(LogKey(public_key="%"),)), "not base64"),
        (lambda: a_policy(log_keys=(LogKey(public_key=a_key(1)),) * 2), "in use"),
        (
            lambda: a_policy(log_keys=(LogKey(public_key=a_key(1), first_sizes={ORIGIN: 1}),)),
            "below the first sizes",
        ),
        (lambda: a_policy(log_keys=(LogKey(public_key=a_key(1), is_revoked=True),)), "in use"),
        (lambda: rotated({ORIGIN: 9}, {ORIGIN: 8}), "overlap"),
        (lambda: rotated({ORIGIN: 9}, {}), "overlap"),
        (lambda: rotated({ORIGIN: 9}, {ORIGIN: 10}), "leave a hole"),
        (lambda: rotated({}, {ORIGIN: 10}), "leave a hole"),
        (lambda: rotated({"other/events/id/0/1": 9}, {"other/events/id/0/1": 9}), "another log"),
        (lambda: rotated({"x": 9}, {"x": 9}), "origin"),
        (lambda: rotated({ORIGIN: 2**63}, {ORIGIN: 2**63}), "not one of sizes"),
        (lambda: rotated({ORIGIN: -1}, {ORIGIN: -1}), "not one of sizes"),
        (lambda: a_policy(anchor_seconds=0), "anchor_seconds"),
        (lambda: a_policy(authorities=(an_authority("a", b"no DER"),)), "not in DER"),
        (lambda: a_policy(authorities=(an_authority("a", b"0" * 16_385),)), "too large"),
        (lambda: a_policy(authorities=(Authority(name="a", certificate="%"),)), "not base64"),
        (lambda: a_policy(authorities=(an_authority("", b"0"),)), "the name of a"),
        (
            lambda: a_policy(authorities=(an_authority("a", b"0"), an_authority("a", b"01"))),
            "two keys in use",
        ),
        (
            lambda: a_policy(authorities=(an_authority("a", b"0"), an_authority("b", b"0"))),
            "two authorities",
        ),
        (lambda: a_policy(quorum=1), "quorum"),
        (lambda: a_policy(quorum=-1), "quorum"),
        (lambda: a_policy(witnesses=("w",)), "verifier key"),
        (lambda: a_policy(witnesses=(a_witness("w", 5, ED25519_TYPE),)), "type 1"),
        (lambda: a_policy(witnesses=(a_witness("w", 5, 9),)), "type 9"),
        (lambda: a_policy(witnesses=(a_witness("w", 5), a_witness("w", 6))), "one witness"),
        (lambda: a_policy(witnesses=(a_witness("w", 1),)), "two parts"),
        (
            lambda: a_policy(
                services=(ServiceKey(service="s", public_key=a_key(1), tenants=("*",)),)
            ),
            "two parts",
        ),
        (
            lambda: a_policy(
                services=tuple(
                    ServiceKey(service="s", public_key=a_key(n), tenants=("*",)) for n in (2, 3)
                )
            ),
            "two keys in use",
        ),
        (
            lambda: a_policy(services=(ServiceKey(service="s", public_key=a_key(2), tenants=()),)),
            "for nobody",
        ),
        (
            lambda: a_policy(
                operators=tuple(OperatorKey(name="o", public_key=a_key(n)) for n in (2, 3))
            ),
            "two keys in use",
        ),
        (
            lambda: a_policy(operators=(OperatorKey(name="a\nb", public_key=a_key(2)),)),
            "name of a operator",
        ),
        (lambda: a_policy(unsealed_tenants=("a", "a")), "doubled"),
        (lambda: a_policy(accepted=(accepted(topic=""),)), "of no topic"),
        (lambda: a_policy(accepted=(accepted(reason=" "),)), "no reason"),
        (lambda: a_policy(accepted=(accepted(reason="x" * 1_001),)), "a long one"),
        (lambda: a_policy(accepted=(accepted(reason="one\ntwo"),)), "do not print"),
        (lambda: a_policy(accepted=(accepted(generation="1-"),)), "no log that there can be"),
        (lambda: a_policy(accepted=(accepted(partition=65_536),)), "no log that there can be"),
        (lambda: a_policy(accepted=(accepted(size=0),)), "no size"),
        (lambda: a_policy(accepted=(accepted(at_ms=2**62),)), "no time"),
        (lambda: a_policy(accepted=(accepted(root="AAAA"),)), "root"),
        (lambda: a_policy(accepted=(accepted(), accepted(size=8))), "two different sizes"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(
    make: Callable[[], Policy], fault: str
) -> None:
    """Ranges that overlap or leave a hole, two keys of one name, one key twice: each is refused, though signed."""
    policy = make()
    with pytest.raises(ProofError, match=fault):
        check_policy(policy)
    with pytest.raises(ProofError):
        parse_policy(signed(policy), OWNER.public_key, is_signed_by)


def test_a_rotation_has_one_size_of_both_keys() -> None:
    """Each size has a key, that of the rotation both, and a log that is new then has the newer alone."""
    policy = rotated({ORIGIN: 9}, {ORIGIN: 9})
    check_policy(policy)
    old, new = policy.log_keys
    assert policy.checkpoint_keys(ORIGIN, 8) == (old,)
    assert policy.checkpoint_keys(ORIGIN, 9) == (old, new)
    assert policy.checkpoint_keys(ORIGIN, 10) == (new,)
    assert policy.checkpoint_keys(OTHER, 1) == (new,)
    assert policy.anchor_keys(7) == (old, new)
    assert policy.anchor_keys(8) == (new,)


def test_a_later_rotation_cannot_forget_a_log() -> None:
    """A log that a key before has signed stays in the ranges of those after it."""
    first = LogKey(public_key=a_key(1), last_sizes={ORIGIN: 9}, last_anchor=7)
    second = LogKey(
        public_key=a_key(2), first_sizes={ORIGIN: 9}, last_sizes={OTHER: 5}, last_anchor=8
    )
    third = LogKey(public_key=a_key(3), first_sizes={OTHER: 5})
    with pytest.raises(ProofError, match="ends before it begins"):
        check_policy(a_policy(log_keys=(first, second, third)))


@pytest.mark.parametrize("field", ["key_type", "log_keys_2"])
def test_an_unknown_field_is_refused(field: str) -> None:
    """A field that this program does not know may mean anything: the policy is not believed."""
    text = a_policy().text.replace('{"anchor', f'{{"{field}":1,"anchor')
    content = note_signed(text, OWNER, owner_name(LOG))
    with pytest.raises(ProofError, match="unknown"):
        parse_policy(content, OWNER.public_key, is_signed_by)


def test_a_policy_of_another_text_is_refused() -> None:
    """Of one policy there is one text: another order or a blank more is not it, though signed."""
    text = a_policy().text.replace('":', '": ')
    with pytest.raises(ProofError, match="the one text"):
        parse_policy(note_signed(text, OWNER, owner_name(LOG)), OWNER.public_key, is_signed_by)


def test_the_owner_has_no_other_part() -> None:
    """The owner's key is kept offline, and so cannot be a log's or a service's too."""
    mine = base64.b64encode(OWNER.public_key).decode()
    with pytest.raises(ProofError, match="another part"):
        parse_policy(
            signed(a_policy(log_keys=(LogKey(public_key=mine),))), OWNER.public_key, is_signed_by
        )


ENROLLED = a_policy(
    services=(ServiceKey(service="s", public_key=a_key(4), tenants=("*",), last_anchor=5),),
    operators=(OperatorKey(name="o", public_key=a_key(5)),),
    authorities=(an_authority("a", b"0", last_anchor=5),),
)


@pytest.mark.parametrize(
    "fields",
    [
        {"services": ()},
        {"services": (ServiceKey(service="s", public_key=a_key(4), tenants=("*",)),)},
        {
            "services": (
                ServiceKey(service="s", public_key=a_key(4), tenants=("*",), last_anchor=6),
            )
        },
        {
            "services": (
                ServiceKey(service="t", public_key=a_key(4), tenants=("*",), last_anchor=5),
            )
        },
        {"operators": ()},
        {"authorities": ()},
        {"authorities": (an_authority("a", b"0"),)},
        {"authorities": (an_authority("b", b"0", last_anchor=5),)},
        {"log_keys": (LogKey(public_key=a_key(9)),)},
        {"log_name": "other"},
        {"version": 3},
        {"previous": "0" * 64},
    ],
)
def test_a_version_takes_nothing_back(fields: dict[str, Any]) -> None:
    """A key is never taken out, given to another, or counts again once closed; each version names the last."""
    check_follows(next_of(ENROLLED), ENROLLED)
    newer = next_of(ENROLLED)
    with pytest.raises(ProofError):
        check_follows(msgspec.structs.replace(newer, **fields), ENROLLED)


def test_a_revoked_key_of_the_log_stays_revoked() -> None:
    """A closed key may be revoked later, with its range as it was, and never counts again after."""
    closed = rotated({ORIGIN: 9}, {ORIGIN: 9})
    revoked = next_of(
        closed,
        log_keys=(msgspec.structs.replace(closed.log_keys[0], is_revoked=True), closed.log_keys[1]),
    )
    check_policy(revoked)
    check_follows(revoked, closed)
    with pytest.raises(ProofError, match="counts again"):
        check_follows(next_of(revoked, log_keys=closed.log_keys), revoked)
    with pytest.raises(ProofError, match="changed"):
        check_follows(next_of(closed, log_keys=rotated({ORIGIN: 8}, {ORIGIN: 8}).log_keys), closed)


def test_an_older_version_never_wins() -> None:
    """In whatever order policies are found, the newest that the owner has signed is in force."""
    first = a_policy()
    second = next_of(first, anchor_seconds=30)
    third = next_of(second, anchor_seconds=20)
    contents = [signed(each) for each in (first, second, third)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        chain = policy_chain([contents[place] for place in order], OWNER.public_key, is_signed_by)
        assert chain.current == third
        assert chain.faults == ()
        assert list(chain.policies) == [1, 2, 3]


def test_what_the_owner_has_not_signed_counts_for_nothing_and_is_told() -> None:
    """A forged policy, bytes that are none, and another log's change nothing of what is in force."""
    first = a_policy()
    forged = signed(next_of(first, quorum=0), FileSigner(Ed25519PrivateKey.generate()))
    foreign = signed(a_policy(log_name="other", version=9, previous="0" * 64))
    chain = policy_chain(
        [signed(first), forged, b"\xff", "", foreign], OWNER.public_key, is_signed_by, LOG
    )
    assert chain.current == first
    assert len(chain.faults) == 4


def test_a_version_that_is_missing_or_signed_twice_is_told() -> None:
    """A version that was taken out of the middle, or of which the owner has signed two, is a fault."""
    first = a_policy()
    second, fork = next_of(first, anchor_seconds=30), next_of(first, anchor_seconds=40)
    third = next_of(second)
    whole = [signed(each) for each in (first, second, fork, third)]
    chain = policy_chain(whole, OWNER.public_key, is_signed_by)
    assert chain.policies[2] == second, "the one that the next version names"
    assert chain.faults == ("policy: the owner has signed 2 of version 2",)
    cut = policy_chain([whole[0], whole[3]], OWNER.public_key, is_signed_by)
    assert cut.current == third
    assert cut.faults == ("policy: version 2 is missing",)
