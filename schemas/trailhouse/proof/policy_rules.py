"""What a policy may say: each against itself, and each version against the one before. Pure."""

import itertools
from collections.abc import Iterable

from trailhouse.proof.merkle import HASH_BYTES, MAX_SIZE
from trailhouse.proof.note import (
    COSIGNATURE_TYPE,
    canonical_base64,
    is_key_name,
    parse_verifier_key,
)
from trailhouse.proof.origin import is_generation, parse_origin
from trailhouse.proof.policy_form import (
    BEFORE_PROOF,
    Accepted,
    Authority,
    LogKey,
    OperatorKey,
    Policy,
    ServiceKey,
)
from trailhouse.schemas.errors import ProofError

MAX_VERSION = 2**31 - 1
MAX_ANCHOR_SECONDS = 86_400
MAX_NAME_CHARACTERS = 512
MAX_CERTIFICATE_BYTES = 16_384
MAX_REASON_CHARACTERS = 1_000
MAX_PARTITION = 65_535
MAX_AT_MS = 253_402_300_799_999
"""The end of the year 9999."""
_SEQUENCE = 0x30
"""The first byte of a certificate in DER."""


def check_policy(policy: Policy) -> None:
    """Check what a policy says against itself.

    Raises:
        ProofError: Names what contradicts what. Permanent.
    """
    _check_head(policy)
    _check_log_keys(policy)
    _check_names("service", [(each.service, each.last_anchor) for each in policy.services])
    _check_names("operator", [(each.name, each.last_anchor) for each in policy.operators])
    _check_names("authority", [(each.name, each.last_anchor) for each in policy.authorities])
    for service in policy.services:
        _check_tenants(service.tenants, f"of the service {service.service!r}")
        if not service.tenants:
            raise ProofError(f"policy: the service {service.service!r} may write for nobody")
    _check_tenants(policy.unsealed_tenants, "that need no seal")
    _check_witnesses(policy)
    _check_certificates(policy.authorities)
    _check_accepted(policy.accepted)
    keys = keys_of(policy)
    if len(set(keys)) < len(keys):
        raise ProofError("policy: one key has two parts in it")


def check_follows(newer: Policy, older: Policy) -> None:
    """Check that *newer* may follow upon *older*, which are both without a fault.

    Raises:
        ProofError: It is not the next version, or takes back what the older said. Permanent.
    """
    if newer.log_name != older.log_name:
        raise ProofError("policy: a version names another log than the one before")
    if newer.version != older.version + 1 or newer.previous != older.sha256:
        raise ProofError(f"policy: version {newer.version} does not name the one before")
    if len(newer.log_keys) < len(older.log_keys):
        raise ProofError("policy: a key of the log was taken out")
    for before, after in zip(older.log_keys, newer.log_keys, strict=False):
        _check_log_key_kept(before, after)
    services = {each.public_key: each for each in newer.services}
    for service in older.services:
        _check_kept("service", service.service, service, services.get(service.public_key))
    operators = {each.public_key: each for each in newer.operators}
    for operator in older.operators:
        _check_kept("operator", operator.name, operator, operators.get(operator.public_key))
    authorities = {each.certificate: each for each in newer.authorities}
    for authority in older.authorities:
        _check_kept("authority", authority.name, authority, authorities.get(authority.certificate))


def keys_of(policy: Policy) -> list[bytes]:
    """Return every public key that *policy* names, 32 bytes each.

    Raises:
        ProofError: One is malformed, or of an unknown type. Permanent.
    """
    named = [
        *(each.public_key for each in policy.log_keys),
        *(each.public_key for each in policy.services),
        *(each.public_key for each in policy.operators),
    ]
    return [*map(_key_bytes, named), *(_witness(text)[1] for text in policy.witnesses)]


def _check_head(policy: Policy) -> None:
    if not is_key_name(policy.log_name) or len(policy.log_name) > MAX_NAME_CHARACTERS:
        raise ProofError(
            "policy: the name of the log is none: no space, no plus, no sign that does not print"
        )
    if not 1 <= policy.version <= MAX_VERSION:
        raise ProofError("policy: its version is not a number from 1 on")
    is_hash = len(policy.previous) == 64 and not set(policy.previous) - set("0123456789abcdef")
    if not (is_hash if policy.version > 1 else policy.previous == ""):
        raise ProofError("policy: it does not name the version before by its SHA-256")
    if not 1 <= policy.anchor_seconds <= MAX_ANCHOR_SECONDS:
        raise ProofError(f"policy: anchor_seconds is not from 1 to {MAX_ANCHOR_SECONDS}")


def _check_log_keys(policy: Policy) -> None:
    keys = policy.log_keys
    if not keys:
        raise ProofError("policy: it names no key of the log")
    for number, key in enumerate(keys, 1):
        for sizes in (key.first_sizes, key.last_sizes or {}):
            _check_sizes(policy.log_name, sizes)
        is_closed = key.last_sizes is not None
        if is_closed is not (key.last_anchor is not None):
            raise ProofError(f"policy: log key {number} is closed for logs or for anchors alone")
        if is_closed is not (number < len(keys)):
            raise ProofError("policy: not the last key of the log alone is in use")
        if key.last_anchor is not None and not 0 <= key.last_anchor <= MAX_SIZE:
            raise ProofError(f"policy: the last anchor of log key {number} is no number of one")
        if key.is_revoked and not is_closed:
            raise ProofError(f"policy: log key {number} is revoked and in use")
    if keys[0].first_sizes:
        raise ProofError("policy: nobody signs a log below the first sizes of the first key")
    for older, newer in itertools.pairwise(keys):
        _check_ranges(older, newer)


def _check_ranges(older: LogKey, newer: LogKey) -> None:
    last = older.last_sizes or {}
    for origin in sorted({*last, *newer.first_sizes, *older.first_sizes}):
        ends, begins = last.get(origin, -1), newer.first_sizes.get(origin, -1)
        if begins < ends:
            raise ProofError(f"policy: the ranges of two keys overlap in {origin}")
        if begins > ends:
            raise ProofError(f"policy: the ranges of two keys leave a hole in {origin}")
        if ends < older.first_sizes.get(origin, 0):
            raise ProofError(f"policy: the range of a key ends before it begins in {origin}")


def _check_sizes(log_name: str, sizes: dict[str, int]) -> None:
    for origin, size in sizes.items():
        if parse_origin(origin).log_name != log_name:
            raise ProofError("policy: a key's range is of another log")
        if not 0 <= size <= MAX_SIZE:
            raise ProofError("policy: a key's range is not one of sizes")


def _check_names(what: str, named: Iterable[tuple[str, int | None]]) -> None:
    in_use: set[str] = set()
    for name, last_anchor in named:
        if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise ProofError(f"policy: the name of a {what} is none")
        if last_anchor is not None:
            if not 0 <= last_anchor <= MAX_SIZE:
                raise ProofError(f"policy: the last anchor of the {what} {name!r} is no number")
            continue
        if name in in_use:
            raise ProofError(f"policy: two keys in use have the name of the {what} {name!r}")
        in_use.add(name)


def _check_tenants(tenants: tuple[str, ...], whose: str) -> None:
    if len(set(tenants)) < len(tenants) or any("\n" in each for each in tenants):
        raise ProofError(f"policy: the tenants {whose} are doubled or malformed")


def _check_witnesses(policy: Policy) -> None:
    names = [_witness(text)[0] for text in policy.witnesses]
    if len(set(names)) < len(names):
        raise ProofError("policy: two keys have the name of one witness")
    if not 0 <= policy.quorum <= len(names):
        raise ProofError("policy: its quorum is above the number of its witnesses")


def _check_certificates(authorities: tuple[Authority, ...]) -> None:
    found = [
        canonical_base64(each.certificate, "policy: a certificate of an authority")
        for each in authorities
    ]
    if any(not each.startswith(bytes([_SEQUENCE])) for each in found):
        raise ProofError("policy: a certificate of an authority is not in DER")
    if any(len(each) > MAX_CERTIFICATE_BYTES for each in found):
        raise ProofError("policy: a certificate of an authority is too large")
    if len(set(found)) < len(found):
        raise ProofError("policy: one certificate stands for two authorities")


def _check_accepted(accepted: tuple[Accepted, ...]) -> None:
    for each in accepted:
        names = (each.cluster, each.topic, each.topic_id, each.reason)
        if not each.topic or not all(name.isprintable() or not name for name in names):
            raise ProofError("policy: what is accepted is of no topic, or its names do not print")
        if max(map(len, names)) > MAX_REASON_CHARACTERS or not each.reason.strip():
            raise ProofError("policy: what is accepted has no reason, or a long one")
        if not 0 <= each.partition <= MAX_PARTITION or not (
            each.generation == BEFORE_PROOF or is_generation(each.generation)
        ):
            raise ProofError("policy: what is accepted is of no log that there can be")
        if not 1 <= each.size <= MAX_SIZE or not 0 <= each.at_ms <= MAX_AT_MS:
            raise ProofError("policy: what is accepted has no size or no time")
        if len(canonical_base64(each.root, "policy: the root of what is accepted")) != HASH_BYTES:
            raise ProofError("policy: the root of what is accepted is none")
    if len({each.log for each in accepted}) < len(accepted):
        raise ProofError("policy: of one log two different sizes are accepted")


def _witness(text: str) -> tuple[str, bytes]:
    name, kind, key = parse_verifier_key(text)
    if kind != COSIGNATURE_TYPE:
        raise ProofError(f"policy: the key of a witness is of the type {kind}, not of a cosigner")
    return name, key


def _key_bytes(public_key: str) -> bytes:
    raw = canonical_base64(public_key, "policy: a public key")
    if len(raw) != HASH_BYTES:
        raise ProofError("policy: a public key is not an Ed25519 key of 32 bytes")
    return raw


def _check_log_key_kept(before: LogKey, after: LogKey) -> None:
    if (before.public_key, before.first_sizes) != (after.public_key, after.first_sizes):
        raise ProofError("policy: a key of the log was changed")
    if before.last_sizes is None:
        return
    if after.last_sizes != before.last_sizes or not _is_kept(before.last_anchor, after.last_anchor):
        raise ProofError("policy: the range of a closed key of the log was changed")
    if before.is_revoked and not after.is_revoked:
        raise ProofError("policy: a key that was revoked counts again")


def _check_kept(
    what: str,
    name: str,
    before: ServiceKey | OperatorKey | Authority,
    after: ServiceKey | OperatorKey | Authority | None,
) -> None:
    if after is None:
        raise ProofError(f"policy: the key of the {what} {name!r} was taken out, not revoked")
    renamed = before.service if isinstance(before, ServiceKey) else before.name
    if renamed != (after.service if isinstance(after, ServiceKey) else after.name):
        raise ProofError(f"policy: the key of the {what} {name!r} was given to another")
    if not _is_kept(before.last_anchor, after.last_anchor):
        raise ProofError(f"policy: the key of the {what} {name!r}, once closed, counts for longer")


def _is_kept(before: int | None, after: int | None) -> bool:
    """Tell whether a key that was closed is still closed, and not later."""
    return before is None or (after is not None and after <= before)
