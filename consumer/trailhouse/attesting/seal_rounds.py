"""Judging seals round by round: what came since, and what must be looked at again; each round is a few statements.

What is written follows from the records of seals, the stored records and the policy alone: to repeat a round, or to
run two at a time, changes nothing.
"""

import base64
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from trailhouse.attesting.judgement import (
    Judgement,
    SealState,
    StoredRecord,
    closing_records,
    judge,
    key_of,
    withdrawn,
)
from trailhouse.attesting.revocations import AnchoredSizes, anchored_sizes
from trailhouse.attesting.stored_seals import (
    Carrier,
    EarlierSeal,
    SealRow,
    carriers_again,
    carrying_records,
    earlier_seals,
    named_records,
    new_carriers,
    records_of,
    write_checks,
    write_services,
    write_standings,
)
from trailhouse.proof.note import Verify
from trailhouse.proof.policy import Policy
from trailhouse.proof.seal import Range, Seal, parse_seal
from trailhouse.proof.seal_check import CountedSeal, check_seal, service_key
from trailhouse.proof.standing import Standing
from trailhouse.schemas.errors import ProofError
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import stored_orders


class Judged(NamedTuple):
    """What a round has done: seals that were judged, those of them that do not count, and events that were named."""

    seals: int = 0
    refused: int = 0
    events: int = 0


IsWhole = Callable[[Carrier, CountedSeal], bool]


class _Record(msgspec.Struct):
    data: Any = None


_decode = msgspec.json.Decoder(_Record).decode


def judge_seals(
    clickhouse: ClickHouse,
    policy: Policy,
    verify: Verify,
    on_round: Callable[[Judged], None] = lambda judged: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Judged:
    """Judge every seal that is due, and write down what it says; on return it is stored.

    Raises:
        StorageError: ClickHouse is away (retriable: what is done stays) or refuses (permanent).
    """
    write_services(clickhouse, policy)
    total = Judged()
    again = carriers_again(clickhouse, policy)
    while not is_stopped():
        carriers = again or new_carriers(clickhouse)
        if not carriers:
            break
        again = []
        done = _judge_round(clickhouse, policy, verify, carriers)
        total = Judged(*map(sum, zip(total, done, strict=True)))
        on_round(total)
    return total


def _erased_by_key(clickhouse: ClickHouse, policy: Policy) -> Mapping[bytes, bytes]:
    """Return the SHA-256 of each record that an operator has ordered to be erased, by the key that its row keeps."""
    return {key_of(digest): digest for digest in stored_orders(clickhouse, policy).erased}


class _Checked(NamedTuple):
    """A seal as it was read: what is wrong with it, None if it counts; of whom it is, where that can be read."""

    verdict: SealState | None
    seal: Seal | None = None
    public_key: str = ""
    counted: CountedSeal | None = None
    is_whole: bool = False


class Round(NamedTuple):
    """What is written down of some seals: a row for each, and the standing of events by time and key.

    `closing` are those of them that are the records of last seals, which no seal names.
    """

    rows: list[SealRow]
    standings: dict[tuple[int, bytes], Standing]
    closing: dict[tuple[int, bytes], Standing]


def judged_round(
    clickhouse: ClickHouse,
    policy: Policy,
    verify: Verify,
    carriers: Sequence[Carrier],
    *,
    is_alone: bool = False,
    is_whole: IsWhole = lambda carrier, counted: False,
) -> Round:
    """Return what is to be written down of the seals of *carriers*; nothing is written.

    Args:
        clickhouse: The database.
        policy: It says which key counts.
        verify: Checks a signature.
        carriers: The events that carry them.
        is_alone: What other seals have said before is not looked at: each is judged as if it were the only one.
        is_whole: Whether it is known of a seal that counts that its records are all there, and that it attests each:
            then they are not read, and have no standing in what is returned.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    records = records_of(clickhouse, carriers)
    sizes = anchored_sizes(clickhouse, policy, verify)
    checked = {
        each: _checked(each, records.get(each.record_key), policy, verify, sizes, is_whole)
        for each in sorted(carriers, key=lambda carrier: carrier.order)
    }
    ours = [each for each, found in checked.items() if found.counted and not found.is_whole]
    named: dict[str, list[StoredRecord]] = {}
    erased = cache(lambda: _erased_by_key(clickhouse, policy))
    for record in named_records(clickhouse, ours, erased) if ours else ():
        named.setdefault(record.producer_id, []).append(record)
    loggers = list({found.counted.seal.producer_id for found in checked.values() if found.counted})
    before = earlier_seals(clickhouse, loggers) if loggers and not is_alone else []
    for records_of_one in named.values():
        records_of_one.sort(key=_number)
    rows: list[SealRow] = []
    standings: dict[tuple[int, bytes], Standing] = {}
    ending: list[Seal] = []
    for carrier, found in checked.items():
        row = _row(carrier, found, named, before)
        if row.judgement is not None:
            # In the order in which they were logged, and what an earlier one has said stands.
            for event, standing in row.judgement.standings.items():
                standings.setdefault(event, standing)
            if not is_alone:
                before.append(_earlier(row))
            if found.seal is not None and found.seal.own_seq is not None:
                ending.append(found.seal)
        rows.append(row)
    closing = _closing(clickhouse, ending)
    return Round(rows, standings | closing, closing)


def _judge_round(
    clickhouse: ClickHouse, policy: Policy, verify: Verify, carriers: Sequence[Carrier]
) -> Judged:
    rows, standings, _ = judged_round(clickhouse, policy, verify, carriers)
    # First what they say, then that they were judged: cut off between the two, they are judged again.
    write_standings(clickhouse, standings, policy)
    write_checks(clickhouse, rows, policy, int(time.time() * 1_000))
    return Judged(len(rows), sum(not row.verdict.counts for row in rows), len(standings))


def _checked(
    carrier: Carrier,
    record: bytes | None,
    policy: Policy,
    verify: Verify,
    sizes: AnchoredSizes,
    is_whole: IsWhole,
) -> _Checked:
    try:
        data = _decode(record or b"").data
        seal, key, _ = parse_seal(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ProofError):
        return _Checked(SealState.MALFORMED)
    public_key = base64.b64encode(key).decode()
    try:
        counted = check_seal(data, policy, verify)
    except ProofError:
        is_known = service_key(policy, seal.service, key) is not None
        return _Checked(SealState.FORGED if is_known else SealState.UNKNOWN_KEY, seal, public_key)
    last = counted.key.last_anchor
    if last is not None and not sizes.cover(
        last, carrier.topic, carrier.topic_id, carrier.partition, carrier.offset
    ):
        return _Checked(SealState.REVOKED, seal, public_key, counted)
    return _Checked(None, seal, public_key, counted, is_whole(carrier, counted))


def _row(
    carrier: Carrier,
    found: _Checked,
    named: Mapping[str, Sequence[StoredRecord]],
    before: Sequence[EarlierSeal],
) -> SealRow:
    seal = found.seal
    if seal is None:
        return SealRow(carrier, SealState.MALFORMED)
    seal_hash = key_of(record_hash(seal.text.encode()))
    judgement = None
    if found.is_whole:
        judgement = Judgement(SealState.WHOLE, {}, seal.last_seq - seal.first_seq + 1, 0)
    elif found.counted is not None:
        records = _of_numbers(named.get(seal.producer_id, ()), seal)
        decided = _decided(seal, seal_hash, carrier, before)
        judgement = (
            judge(found.counted, records, decided)
            if found.verdict is None
            else Judgement(SealState.REVOKED, withdrawn(seal, records, decided), 0, 0)
        )
    return SealRow(
        carrier,
        found.verdict or (SealState.MALFORMED if judgement is None else judgement.verdict),
        judgement,
        seal.producer_id,
        seal.service,
        seal.first_seq,
        seal.last_seq,
        seal.own_seq or 0,
        seal_hash,
        found.public_key,
    )


def _of_numbers(records: Sequence[StoredRecord], seal: Seal) -> Sequence[StoredRecord]:
    """Return those of *records*, in the order of their numbers, whose numbers are those of *seal*."""
    begin = bisect_left(records, seal.first_seq, key=_number)
    return records[begin : bisect_right(records, seal.last_seq, key=_number)]


def _number(record: StoredRecord) -> int:
    return record.seq


def _decided(
    seal: Seal, seal_hash: bytes, carrier: Carrier, before: Sequence[EarlierSeal]
) -> list[Range]:
    """Return the numbers about which another seal of the same logger has decided, which was logged before."""
    return [
        (each.first_seq, each.last_seq)
        for each in before
        if (each.service, each.producer_id) == (seal.service, seal.producer_id)
        and each.seal_hash != seal_hash
        and each.order < carrier.order
        and each.first_seq <= seal.last_seq
        and seal.first_seq <= each.last_seq
    ]


def _earlier(row: SealRow) -> EarlierSeal:
    return EarlierSeal(
        row.service, row.producer_id, row.first_seq, row.last_seq, row.seal_hash, row.carrier.order
    )


def _closing(clickhouse: ClickHouse, seals: Sequence[Seal]) -> dict[tuple[int, bytes], Standing]:
    """Return the standing of the records that carry *seals*, closing ones, each with its own number."""
    carrying = carrying_records(clickhouse, seals) if seals else {}
    found: dict[tuple[int, bytes], Standing] = {}
    for seal in seals:
        carriers = [
            record
            for record, content in carrying.get((seal.producer_id, seal.own_seq or 0), ())
            if record.service == seal.service and not record.tenant_id and _carries(content, seal)
        ]
        found |= closing_records(carriers)
    return found


def _carries(content: bytes, seal: Seal) -> bool:
    try:
        return parse_seal(_decode(content).data)[0] == seal
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ProofError):
        return False
