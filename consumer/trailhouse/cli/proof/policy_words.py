"""A policy in words: a line a fact."""

import base64
import datetime as dt
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.proof.policy import Accepted, LogKey, Policy


def policy_lines(policy: "Policy") -> Iterator[str]:
    """Yield what *policy* says."""
    yield f"policy     version {policy.version} of {policy.log_name}, SHA-256 {policy.sha256}"
    for number, key in enumerate(policy.log_keys, 1):
        yield f"log key {number}  {_fingerprint(key.public_key)}, {_range(key)}"
    for service in policy.services:
        yield (
            f"service    {service.service}: {_fingerprint(service.public_key)} seals for"
            f" {_tenants(service.tenants)}{_until(service.last_anchor)}"
        )
    for operator in policy.operators:
        yield (
            f"operator   {operator.name}: {_fingerprint(operator.public_key)}"
            f"{_until(operator.last_anchor)}"
        )
    for witness in policy.witnesses:
        yield f"witness    {witness}"
    for authority in policy.authorities:
        yield (
            f"authority  {authority.name}: {_certificate(authority.certificate)}"
            f"{_until(authority.last_anchor)}"
        )
    for each in policy.accepted:
        yield f"accepted   {accepted_words(each)}"
    yield (
        f"demands    cosignatures {policy.quorum}, of witnesses {len(policy.witnesses)};"
        f" an anchor every {policy.anchor_seconds} s"
    )
    unsealed = _tenants(policy.unsealed_tenants) if policy.unsealed_tenants else "nobody"
    yield f"unsealed   any service may write for {unsealed}"


def accepted_words(accepted: "Accepted") -> str:
    """Return which unsigned offsets the owner accepts, when, and why."""
    from trailhouse.proof.policy import BEFORE_PROOF

    what = "rows from before it was proven" if accepted.generation == BEFORE_PROOF else "leaves"
    at = dt.datetime.fromtimestamp(accepted.at_ms / 1_000, dt.UTC)
    generation = "" if accepted.generation in ("1", BEFORE_PROOF) else f"/{accepted.generation}"
    return (
        f"{accepted.topic}/{accepted.topic_id}/{accepted.partition}{generation}:"
        f" {what} below offset {accepted.size}, root {accepted.root},"
        f" by the owner, {at:%Y-%m-%d %H:%M:%S} UTC: {accepted.reason}"
    )


def _range(key: "LogKey") -> str:
    if key.last_sizes is None:
        return "in use"
    what = "revoked: counts as far as anchored" if key.is_revoked else "closed"
    leaves, logs = sum(key.last_sizes.values()), len(key.last_sizes)
    return f"{what}, up to anchor {key.last_anchor}; {leaves} leaves of {logs} logs"


def _until(last_anchor: int | None) -> str:
    return "" if last_anchor is None else f", up to anchor {last_anchor} alone"


def _tenants(tenants: tuple[str, ...]) -> str:
    if "*" in tenants:
        return "every tenant"
    return ", ".join(repr(each) if each else "events of no tenant" for each in tenants)


def _certificate(text: str) -> str:
    """Return what `openssl x509 -fingerprint -sha256` prints, in small letters without colons."""
    return f"root SHA-256 {sha256(base64.b64decode(text)).hexdigest()}"


def _fingerprint(public_key: str) -> str:
    from trailhouse.proof.keys import fingerprint, parse_public_key

    return fingerprint(parse_public_key(public_key))
