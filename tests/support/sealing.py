"""What the tests of seals share: a service's key, and what an outsider who has it in his policy makes of records."""

import base64
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from trailhouse.proof.keys import create_key_file, is_signed_by, read_key_file
from trailhouse.proof.policy import LogKey, Policy, ServiceKey
from trailhouse.proof.seal_check import Claim, Match, SealBook
from trailhouse.schemas import AuditEvent, EventType, decode

SERVICE = "bot"


def seal_key(folder: Path) -> Path:
    """Return a file in *folder* with a key, which is made if it is not there."""
    path = folder / "seal.pem"
    if not path.exists():
        create_key_file(path)
    return path


def policy_for(key_file: Path, service: str = SERVICE) -> Policy:
    """Return a policy that enrolls *service* for each tenant, by the key in *key_file*."""
    public_key = base64.b64encode(read_key_file(key_file).public_key).decode()
    return Policy(
        log_name="example.org/log",
        version=1,
        log_keys=(LogKey(public_key=public_key),),
        services=(ServiceKey(service=service, public_key=public_key, tenants=("*",)),),
    )


def claim_of(record: bytes) -> Claim | None:
    """Return what *record* says of itself; None where it names no number."""
    event = decode(record)
    source = event.source
    if source is None or source.seq is None or source.producer_id is None:
        return None
    return Claim(
        source.service or "",
        source.producer_id,
        source.seq,
        event.tenant_id or "",
        sha256(record).digest(),
        event.type == EventType.AUDIT_SEALED and event.tenant_id is None,
    )


def book_of(records: Iterable[bytes], policy: Policy) -> SealBook:
    """Return the seals among *records*, which are in the order of the log; each must count."""
    book = SealBook(policy, is_signed_by)
    for record in records:
        event = decode(record)
        if event.type == EventType.AUDIT_SEALED:
            assert book.add(event.data, claim_of(record))
    return book


def matches(records: Sequence[bytes], policy: Policy) -> list[Match]:
    """Return what the seals among *records* say about each of them."""
    book = book_of(records, policy)
    claims = [claim_of(record) for record in records]
    return [Match.NOT_SEALED if claim is None else book.match(claim) for claim in claims]


def seals_of(records: Iterable[bytes]) -> list[AuditEvent]:
    """Return the seals among *records*, in order."""
    return [event for event in map(decode, records) if event.type == EventType.AUDIT_SEALED]


def ranges(records: Iterable[bytes]) -> list[tuple[int, int, bool]]:
    """Return which numbers each seal among *records* covers, and whether it is a last one."""
    return [
        (seal.data["first_seq"], seal.data["last_seq"], seal.data["is_last"])
        for seal in seals_of(records)
    ]
