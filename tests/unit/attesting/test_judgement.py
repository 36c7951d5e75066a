"""What one seal says about stored records: which it names, which it does not, and who has decided before."""

import hashlib

import pytest

from trailhouse.attesting.judgement import (
    SealState,
    StoredRecord,
    closing_records,
    judge,
    withdrawn,
)
from trailhouse.proof.policy import ServiceKey
from trailhouse.proof.seal import Seal, sealed
from trailhouse.proof.seal_check import CountedSeal
from trailhouse.proof.standing import Standing

KEY = ServiceKey(service="billing", public_key="k", tenants=("acme",))


def stored(
    seq: int, content: str = "", tenant_id: str = "acme", service: str = "billing", **more: str
) -> StoredRecord:
    """Return a stored record that says that logger p-1 has numbered it *seq*."""
    digest = hashlib.sha256(f"{seq} {content}".encode()).digest()
    producer_id = more.get("producer_id", "p-1")
    return StoredRecord(
        producer_id, seq, 1_000 + seq, digest[:16], tenant_id, service, digest, is_seal=False
    )


def seal_of(*records: StoredRecord) -> Seal:
    """Return the seal over *records*, whose numbers follow one another."""
    digests = [each.digest for each in records]
    return sealed("billing", "p-1", records[0].seq, digests, next_within_seconds=60)


def test_what_is_sealed_is_attested() -> None:
    """Every record that the seal names and the service may write is attested."""
    records = [stored(seq) for seq in range(3)]
    found = judge(CountedSeal(seal_of(*records), KEY), records, [])
    assert (found.verdict, found.sealed, found.missing) == (SealState.WHOLE, 3, 0)
    assert set(found.standings.values()) == {Standing.ATTESTED}


def test_a_record_for_another_tenant_is_disputed() -> None:
    """A service that may not write for a tenant attests nothing of it, sealed or not; its seals are for no tenant."""
    own, other = stored(0), stored(1, tenant_id="globex")
    carrier = stored(2, tenant_id="")._replace(is_seal=True)
    found = judge(CountedSeal(seal_of(own, other, carrier), KEY), [own, other, carrier], [])
    assert list(found.standings.values()) == ["attested", "disputed", "attested"]


def test_a_missing_record_leaves_the_others_attested() -> None:
    """What is not there is counted, and stands in nobody's way."""
    records = [stored(seq) for seq in range(3)]
    found = judge(CountedSeal(seal_of(*records), KEY), records[1:], [])
    assert (found.verdict, found.sealed, found.missing) == (SealState.INCOMPLETE, 2, 1)
    assert set(found.standings.values()) == {Standing.ATTESTED}


@pytest.mark.parametrize(
    "stranger",
    [
        stored(1, "forged"),
        stored(1, service="other"),
        stored(1, producer_id="p-2"),
        stored(7),
    ],
)
def test_a_stranger_is_not_attested(stranger: StoredRecord) -> None:
    """Other bytes, another service, another logger, a number that is not sealed: the seal does not speak of it so."""
    records = [stored(seq) for seq in range(3)]
    found = judge(CountedSeal(seal_of(*records), KEY), [stranger, *records], [])
    own = {(each.occurred_us, each.record_key) for each in records}
    attested = {key for key, standing in found.standings.items() if standing == "attested"}
    assert attested == own
    assert (found.verdict, found.sealed) == (SealState.WHOLE, 3)


def test_a_hash_that_is_wrong_proves_nothing() -> None:
    """Where all first bytes fit and the hash over all does not, one of the records is another: none is attested."""
    records = [stored(seq) for seq in range(3)]
    seal = seal_of(*records)._replace(records_hash=bytes(32))
    found = judge(CountedSeal(seal, KEY), records, [])
    assert (found.verdict, found.sealed) == (SealState.BROKEN, 0)
    assert set(found.standings.values()) == {Standing.DISPUTED}


def test_what_an_earlier_seal_has_decided_stands() -> None:
    """Who has the key later says nothing of numbers that were sealed before."""
    records = [stored(seq) for seq in range(4)]
    found = judge(CountedSeal(seal_of(*records), KEY), records, [(0, 1), (3, 3)])
    assert list(found.standings) == [(records[2].occurred_us, records[2].record_key)]


def test_a_seal_that_counts_no_more_takes_back_what_it_said() -> None:
    """After a revocation its records are unattested, but for those that another seal has decided about."""
    records = [stored(seq) for seq in range(3)]
    found = withdrawn(seal_of(*records), records, [(0, 0)])
    assert list(found.values()) == ["unattested", "unattested"]


def test_the_first_record_that_carries_a_closing_seal_is_the_loggers() -> None:
    """Nobody can send a seal before its logger has: what carries it later is a copy by somebody else."""
    found = closing_records([stored(5), stored(5, "copy"), stored(5, "another")])
    assert list(found.values()) == ["attested", "disputed", "disputed"]


def test_only_some_verdicts_count() -> None:
    """A seal that is forged, malformed, revoked or by an unknown key says nothing about records."""
    assert {each for each in SealState if each.counts} == {"whole", "incomplete", "broken"}
