"""Seals: what counts, what it proves of stored records, and what strangers cannot change."""

import base64
from hashlib import sha256

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trailhouse.proof import ProofError
from trailhouse.proof.keys import FileSigner, is_signed_by
from trailhouse.proof.policy import LogKey, Policy, ServiceKey
from trailhouse.proof.seal import MOST_NUMBERS, Seal, SealData, data_of, parse_seal, sealed
from trailhouse.proof.seal_check import (
    MOST_COMBINATIONS,
    Claim,
    CountedSeal,
    LoggerSeals,
    Match,
    SealBook,
    check_records,
    check_seal,
)

P, Q = "0190aaaa-0000-7000-8000-000000000001", "0190aaaa-0000-7000-8000-000000000002"


def signer() -> FileSigner:
    """Return a new key."""
    return FileSigner(Ed25519PrivateKey.generate())


def text_of(key: FileSigner) -> str:
    return base64.b64encode(key.public_key).decode()


def policy_of(**services: tuple[FileSigner, tuple[str, ...]]) -> Policy:
    """Return a policy that enrolls *services*: name, key, tenants."""
    return Policy(
        log_name="example.org/log",
        version=1,
        log_keys=(LogKey(public_key=text_of(signer())),),
        services=tuple(
            ServiceKey(service=name, public_key=text_of(key), tenants=tenants)
            for name, (key, tenants) in services.items()
        ),
    )


def digest(name: object) -> bytes:
    return sha256(repr(name).encode()).digest()


def signed_data(seal: Seal, key: FileSigner) -> dict[str, object]:
    """Return *seal* as the `data` of an event that was read."""
    data: dict[str, object] = msgspec.json.decode(
        msgspec.json.encode(data_of(seal, key.public_key, key.sign(seal.text.encode())))
    )
    return data


def seal_of(first: int, last: int, **fields: object) -> Seal:
    given = {"service": "bot", "producer_id": P, "next_within_seconds": 60} | fields
    return sealed(
        given.pop("service"),  # type: ignore[arg-type]
        given.pop("producer_id"),  # type: ignore[arg-type]
        first,
        [digest(seq) for seq in range(first, last + 1)],
        **given,  # type: ignore[arg-type]
    )


def claim(seq: int, name: object = None, tenant: str = "", service: str = "bot") -> Claim:
    return Claim(service, P, seq, tenant, digest(seq if name is None else name))


KEY, OTHER = signer(), signer()
POLICY = policy_of(bot=(KEY, ("", "acme")), other=(OTHER, ("*",)))


def test_a_seal_survives_its_way_through_json() -> None:
    """What is read is what was sealed, to the last byte, and its signature is the key's."""
    seal = seal_of(3, 12, lost=((1, 1), (4, 5)))
    assert check_seal(signed_data(seal, KEY), POLICY, is_signed_by) == (seal, POLICY.services[0])


def test_what_is_signed_is_the_text_of_the_documents() -> None:
    """The text of a seal, line by line, and its signature by a key that anybody can make, are these for ever."""
    key = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    seal = sealed(
        "agents",
        P,
        4,
        [sha256(name).digest() for name in (b"4", b"5", b"6")],
        next_within_seconds=60,
        is_last=True,
        own_seq=7,
        lost=((2, 3),),
    )
    assert seal.text.split("\n") == [
        "trailhouse-seal/1",
        "agents",
        P,
        "4",
        "6",
        "last",
        "7",
        "0",
        "0bd72495ad1b381734788341b267f6c2e42301802dd63e7da926bd768c30d51d",
        "f1045278358f63eb3d4725449a6aba7df8ff657389b8dc8d5de3879c95be074f",
        "2-3",
        "",
    ]
    assert data_of(seal, b"", b"").digests == "SyJ3d9TdH8bvLRJ943uUK+f2wBF3bo23"
    assert key.sign(seal.text.encode()).hex() == (
        "7caca0d9320522ea2e2ff9baa3727bdc6be15fe4fb21ee32c6567318923b179d"
        "201da296102a9bf0af83de9e5a5dd1252ba2cfed88c9dffd427b2e33b7c6910a"
    )


@pytest.mark.parametrize(
    "field", [name for name in SealData.__struct_fields__ if name != "repeats_ms"]
)
def test_no_field_of_a_seal_can_be_changed(field: str) -> None:
    """Whatever is changed, added to or left out of a seal, it does not count any more."""
    data = signed_data(seal_of(0, 9, is_last=True, own_seq=10, lost=((2, 3),)), KEY)
    value = data[field]
    wrong: dict[type, list[object]] = {
        str: ["", f"{value}x", "\n", "A" * 44, f" {value}", None, 3],
        bool: [False, None, 1],
        int: [-1, 0, 2**63, 11, None, "7", 1.5] if value else [-1, 2**63, 11, None, "7"],
        list: [[], [[2, 4]], [[3, 2]], [[-1, 3]], [[2, 3], [3, 3]], None, [[2]], [[9, 10]]],
    }
    for other in wrong[type(value)]:
        with pytest.raises(ProofError):
            check_seal(data | {field: other}, POLICY, is_signed_by)
    if field not in {"own_seq", "lost"}:
        with pytest.raises(ProofError):
            parse_seal({name: each for name, each in data.items() if name != field})


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"service": {}}, {"first_seq": 10**30}], ids=repr
)
def test_what_is_no_seal_is_refused(data: object) -> None:
    """Anything may be the data of an event that calls itself a seal."""
    with pytest.raises(ProofError):
        parse_seal(data)


def test_a_seal_over_more_numbers_than_it_holds_digests_for_is_refused_before_any_work() -> None:
    """A range of a quintillion numbers takes no memory."""
    data = signed_data(seal_of(0, 3), KEY)
    for last in (MOST_NUMBERS, 2**62):
        with pytest.raises(ProofError):
            parse_seal(data | {"last_seq": last})


def test_only_the_services_own_key_counts() -> None:
    """Another enrolled service, and a stranger, cannot seal in this one's name."""
    seal = seal_of(0, 3)
    for key in (OTHER, signer()):
        with pytest.raises(ProofError, match="no such key"):
            check_seal(signed_data(seal, key), POLICY, is_signed_by)
    data = signed_data(seal, OTHER) | {"public_key": text_of(KEY)}
    with pytest.raises(ProofError, match="signature"):
        check_seal(data, POLICY, is_signed_by)


def test_another_services_seal_of_the_same_logger_says_nothing_about_this_ones_records() -> None:
    """Who has a key and claims a `producer_id` that he has read attests and disputes nothing of it."""
    book = SealBook(POLICY, is_signed_by)
    assert book.add(
        signed_data(sealed("other", P, 0, [digest("x")], next_within_seconds=60), OTHER)
    )
    assert book.match(claim(0)) is Match.NOT_SEALED
    assert book.add(signed_data(seal_of(0, 3), KEY))
    assert book.match(claim(0)) is Match.FITS
    assert book.match(claim(0, "x")) is Match.CONTRADICTS
    assert book.match(claim(0, "x", service="other")) is Match.FITS


def test_all_records_there_are_proven_as_a_whole() -> None:
    """A range whose records are all there leaves nothing to the first bytes of digests."""
    found = check_records(seal_of(5, 8), {seq: [digest(seq)] for seq in range(20)})
    assert found.is_whole
    assert not found.is_broken
    assert found.chosen == [digest(seq) for seq in range(5, 9)]
    assert not found.missing
    assert not found.contradicting


def test_missing_and_foreign_records_are_told_by_number() -> None:
    """What Kafka lost, and what it gained, is found; the rest stands."""
    records = {5: [digest(5)], 6: [digest("false")], 8: [digest("more"), digest(8), digest(8)]}
    found = check_records(seal_of(5, 8), records)
    assert found.chosen == [digest(5), None, None, digest(8)]
    assert found.missing == [(6, 7)]
    assert found.contradicting == [(6, digest("false")), (8, digest("more"))]
    assert not found.is_whole
    assert not found.is_broken


def test_many_candidates_change_nothing_and_take_no_time() -> None:
    """A stranger may send thousands of records under each number: one each is the sealed one."""
    records = {seq: [digest((seq, n)) for n in range(50)] + [digest(seq)] for seq in range(200)}
    found = check_records(seal_of(0, 199), records)
    assert found.is_whole
    assert found.chosen == [digest(seq) for seq in range(200)]
    assert len(found.contradicting) == 200 * 50


def test_records_with_the_same_first_bytes_are_told_apart_by_the_hash_over_all() -> None:
    """Who could make a second record with the same eight bytes would be found; beyond some, none is proven."""
    twin = digest(1)[:8] + digest("twin")[8:]
    few = {seq: [digest(seq)] for seq in range(4)} | {1: [twin, digest(1)]}
    found = check_records(seal_of(0, 3), few)
    assert found.is_whole
    assert found.chosen[1] == digest(1)
    assert found.contradicting == [(1, twin)]
    alone = few | {1: [twin]}
    found = check_records(seal_of(0, 3), alone)
    assert found.is_broken
    assert found.chosen == [None] * 4
    assert not found.missing
    many = {
        seq: [digest(seq)[:8] + digest((seq, n))[8:] for n in range(MOST_COMBINATIONS)]
        for seq in range(40)
    }
    found = check_records(seal_of(0, 39), many)
    assert found.is_broken
    assert found.chosen == [None] * 40


def test_what_the_logger_has_lost_is_not_missing() -> None:
    """A record that was damaged on the disk, or refused by the broker, is no tampering."""
    refused = seal_of(0, 2, lost=((2, 2),))
    found = check_records(refused, {0: [digest(0)], 1: [digest(1)]})
    assert found.lost == [(2, 2)]
    assert not found.missing
    assert not found.is_broken
    assert check_records(refused, {2: [digest(2)]}).chosen[2] == digest(2)
    seals = LoggerSeals("bot", P)
    for each in (seal_of(0, 2), seal_of(5, 9, lost=((1, 1), (3, 4)))):
        seals.add(CountedSeal(each, POLICY.services[0]))
    assert seals.uncovered() == []
    assert seals.has_lost(1)
    assert seals.match(claim(3)) is Match.NOT_SEALED


def test_a_tenant_that_the_service_may_not_write_for_is_told() -> None:
    """The right bytes by the right key are not enough."""
    book = SealBook(POLICY, is_signed_by)
    book.add(signed_data(seal_of(0, 3), KEY))
    assert book.match(claim(1, tenant="acme")) is Match.FITS
    assert book.match(claim(1, tenant="rival")) is Match.WRONG_TENANT


def test_a_seal_is_written_for_nobody() -> None:
    """A service that may write for some tenants alone makes its seals for none of them."""
    book = SealBook(policy_of(bot=(KEY, ("acme",))), is_signed_by)
    book.add(signed_data(seal_of(0, 3), KEY))
    assert book.match(claim(1)) is Match.WRONG_TENANT
    assert book.match(claim(1)._replace(is_seal=True)) is Match.FITS
    assert book.match(claim(1, tenant="rival")._replace(is_seal=True)) is Match.WRONG_TENANT


def test_the_first_seal_decides_and_a_later_one_is_told() -> None:
    """Who steals the key afterwards overrules nothing; copies and overlapping seals that agree are no finding."""
    seals = LoggerSeals("bot", P)
    key = POLICY.services[0]
    assert seals.add(CountedSeal(seal_of(0, 9), key))
    assert seals.add(CountedSeal(seal_of(0, 9), key))
    assert seals.add(CountedSeal(seal_of(5, 14), key))
    false = sealed("bot", P, 8, [digest(("false", n)) for n in range(10)], next_within_seconds=60)
    assert not seals.add(CountedSeal(false, key))
    assert seals.overruled == [(8, 9), (10, 14)]
    assert seals.match(claim(8)) is Match.FITS
    assert seals.match(claim(8, ("false", 0))) is Match.CONTRADICTS
    assert [(piece.first, piece.last) for piece in seals.pieces] == [(0, 9), (10, 14), (15, 17)]


def test_a_seal_that_is_missing_leaves_its_numbers_uncovered() -> None:
    """Numbers between two seals that no seal covers show that one was lost, also when they come out of order."""
    seals = LoggerSeals("bot", P)
    for first, last in ((30, 39), (10, 19)):
        seals.add(CountedSeal(seal_of(first, last), POLICY.services[0]))
    assert seals.uncovered() == [(0, 9), (20, 29)]
    assert seals.end_seq == 40
    assert seals.match(claim(25)) is seals.match(claim(40)) is Match.NOT_SEALED


def test_nothing_comes_after_a_loggers_own_last_seal() -> None:
    """Its own record is the last: it is attested by what it carries, and whatever stands after it is false."""
    seals, key = LoggerSeals("bot", P), POLICY.services[0]
    last = seal_of(0, 9, is_last=True, own_seq=10)
    assert seals.add(CountedSeal(last, key), claim(10, "last"))
    assert seals.is_closed
    assert seals.own_seq == 10
    assert seals.match(claim(10, "last")) is Match.FITS
    for false in (claim(10, "false"), claim(11), claim(10, "last", tenant="acme")):
        assert seals.match(false) is Match.CONTRADICTS
    assert not seals.add(CountedSeal(seal_of(10, 14), key))
    assert seals.match(claim(12)) is Match.CONTRADICTS
    copied = LoggerSeals("bot", P)
    copied.add(CountedSeal(last, key), claim(3, "a copy in another place"))
    assert copied.match(claim(3, "a copy in another place")) is Match.CONTRADICTS


def test_a_successors_last_seal_denies_nothing_after_it() -> None:
    """A power cut may have taken from the disk what Kafka has: it is not sealed, and not false."""
    seals = LoggerSeals("bot", P)
    seals.add(CountedSeal(seal_of(0, 9, is_last=True), POLICY.services[0]))
    assert seals.is_closed
    assert seals.own_seq is None
    assert seals.match(claim(10)) is Match.NOT_SEALED
