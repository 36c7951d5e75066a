"""The next version of a policy: a key enrolled, rotated or revoked, a witness added. Pure; nothing is signed here."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trailhouse.proof.note import parse_verifier_key
from trailhouse.proof.policy import (
    Accepted,
    Authority,
    LogKey,
    OperatorKey,
    Policy,
    ServiceKey,
    check_follows,
    check_policy,
)
from trailhouse.schemas.errors import ProofError


def first_policy(log_name: str, log_key: bytes, anchor_seconds: int = 60) -> Policy:
    """Return version 1: one key of the log, and no service that must seal.

    Raises:
        ProofError: A name or number is not one that a policy may have. Permanent.
    """
    policy = Policy(
        log_name=log_name,
        version=1,
        log_keys=(LogKey(public_key=key_text(log_key)),),
        anchor_seconds=anchor_seconds,
    )
    check_policy(policy)
    return policy


def next_version(policy: Policy, **changes: Any) -> Policy:
    """Return the version after *policy*, with *changes* to its fields.

    Raises:
        ProofError: It contradicts itself, or takes back what *policy* says. Permanent.
    """
    newer = msgspec.structs.replace(
        policy, version=policy.version + 1, previous=policy.sha256, **changes
    )
    check_policy(newer)
    check_follows(newer, policy)
    return newer


def with_service(
    policy: Policy,
    service: str,
    public_key: bytes,
    tenants: Iterable[str],
    closes_at: int | None = None,
) -> Policy:
    """Return the version in which *public_key* seals for *service*; the same key with other tenants replaces them.

    Args:
        policy: The version before.
        service: Its name, as `source.service` has it.
        public_key: Its 32 bytes.
        tenants: Whom it may write for.
        closes_at: The last anchor of the key that the service has, which both count until; needed where it has one.

    Raises:
        ProofError: The service has another key in use and *closes_at* is None, or as `next_version`. Permanent.
    """
    mine = key_text(public_key)
    made = ServiceKey(service=service, public_key=mine, tenants=tuple(dict.fromkeys(tenants)))
    kept: list[ServiceKey] = []
    for each in policy.services:
        if each.public_key == mine:
            if each.last_anchor is not None:
                raise ProofError(f"policy: this key of the service {each.service!r} is closed")
            continue
        if each.service == service and each.last_anchor is None:
            if closes_at is None:
                raise ProofError(
                    f"policy: the service {service!r} has a key in use: say until when it counts"
                )
            each = msgspec.structs.replace(each, last_anchor=closes_at)
        kept.append(each)
    return next_version(policy, services=(*kept, made))


def with_operator(policy: Policy, name: str, public_key: bytes) -> Policy:
    """Return the version in which *name* may order by *public_key* what only an operator may.

    Raises:
        ProofError: He has a key in use, or as `next_version`. Permanent.
    """
    made = OperatorKey(name=name, public_key=key_text(public_key))
    return next_version(policy, operators=(*policy.operators, made))


def with_authority(policy: Policy, name: str, certificate: bytes) -> Policy:
    """Return the version in which tokens by the time-stamp authority *name* count; *certificate* is its root in DER.

    Raises:
        ProofError: A certificate of that name is in use, or as `next_version`. Permanent.
    """
    made = Authority(name=name, certificate=key_text(certificate))
    return next_version(policy, authorities=(*policy.authorities, made))


def with_witness(policy: Policy, verifier_key: str, quorum: int | None = None) -> Policy:
    """Return the version in which the witness of *verifier_key* cosigns; *quorum* stays as it is if None.

    Raises:
        ProofError: It is no key of a witness, or as `next_version`. Permanent.
    """
    parse_verifier_key(verifier_key)
    return next_version(
        policy,
        witnesses=(*policy.witnesses, verifier_key),
        quorum=policy.quorum if quorum is None else quorum,
    )


def with_accepted(policy: Policy, accepted: Iterable[Accepted]) -> Policy:
    """Return the version in which *accepted* counts as signed, besides what is accepted of other logs.

    Raises:
        ProofError: As `next_version`. Permanent.
    """
    newer = {each.log: each for each in (*policy.accepted, *accepted)}
    return next_version(policy, accepted=tuple(newer[log] for log in sorted(newer)))


def without_accepted(policy: Policy, logs: Iterable[tuple[str, str, str, int, str]]) -> Policy:
    """Return the version in which nothing of *logs* is accepted any more.

    Raises:
        ProofError: As `next_version`. Permanent.
    """
    gone = set(logs)
    return next_version(
        policy, accepted=tuple(each for each in policy.accepted if each.log not in gone)
    )


def with_rotated_log_key(
    policy: Policy, public_key: bytes, sizes: Mapping[str, int], last_anchor: int
) -> Policy:
    """Return the version in which *public_key* follows upon the log's key, from *sizes* of its logs on.

    Args:
        policy: The version before.
        public_key: The new key's 32 bytes.
        sizes: Of each log by its origin, the size at which both sign.
        last_anchor: The last anchor that the old one may sign.

    Raises:
        ProofError: As `next_version`. Permanent.
    """
    return _with_log_key(policy, public_key, sizes, last_anchor, is_revoked=False)


def with_revoked_log_key(
    policy: Policy, public_key: bytes, anchored_sizes: Mapping[str, int], last_anchor: int
) -> Policy:
    """Return the version in which of the log's key only what the anchor *last_anchor* and those before it hold counts.

    Args:
        policy: The version before.
        public_key: The 32 bytes of the key that follows, and vouches for what is anchored.
        anchored_sizes: The size of each log, by its origin, in that anchor.
        last_anchor: Its number; 0 where nothing was anchored.

    Raises:
        ProofError: As `next_version`. Permanent.
    """
    return _with_log_key(policy, public_key, anchored_sizes, last_anchor, is_revoked=True)


def with_closed(
    policy: Policy, last_anchor: int, *, service: str = "", operator: str = "", authority: str = ""
) -> Policy:
    """Return the version in which what is in use of *service*, *operator* or *authority* counts up to *last_anchor*.

    Raises:
        ProofError: It has none in use, or as `next_version`. Permanent.
    """
    services = tuple(
        msgspec.structs.replace(each, last_anchor=last_anchor)
        if each.service == service and each.last_anchor is None
        else each
        for each in policy.services
    )
    operators = tuple(
        msgspec.structs.replace(each, last_anchor=last_anchor)
        if each.name == operator and each.last_anchor is None
        else each
        for each in policy.operators
    )
    authorities = tuple(
        msgspec.structs.replace(each, last_anchor=last_anchor)
        if each.name == authority and each.last_anchor is None
        else each
        for each in policy.authorities
    )
    closed = (services, operators, authorities)
    if closed == (policy.services, policy.operators, policy.authorities):
        raise ProofError(f"policy: {service or operator or authority!r} has no key in use")
    return next_version(policy, services=services, operators=operators, authorities=authorities)


def key_text(public_key: bytes) -> str:
    """Return a public key as policies and settings have it: base64."""
    return base64.b64encode(public_key).decode()


def _with_log_key(
    policy: Policy,
    public_key: bytes,
    sizes: Mapping[str, int],
    last_anchor: int,
    *,
    is_revoked: bool,
) -> Policy:
    *before, current = policy.log_keys
    # Every log that a key before has signed stays in the range of this one, whether or not it has grown.
    ends = {
        origin: max(size, current.first_sizes.get(origin, 0))
        for origin, size in {**current.first_sizes, **sizes}.items()
    }
    closed = msgspec.structs.replace(
        current, last_sizes=ends, last_anchor=last_anchor, is_revoked=is_revoked
    )
    made = LogKey(public_key=key_text(public_key), first_sizes=dict(ends))
    return next_version(policy, log_keys=(*before, closed, made))
