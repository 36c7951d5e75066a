"""What was found of seals by an earlier policy, where no worker has judged them by the newer one yet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from trailhouse.attesting.judgement import SealState
from trailhouse.attesting.seal_rounds import judged_round
from trailhouse.attesting.stored_seals import MOST_LOOKS, Carrier, SealRow
from trailhouse.operate.verify.duties.seals.seen_whole import are_few
from trailhouse.operate.verify.duties.standings.overlapping import other_seals
from trailhouse.operate.verify.duties.standings.rows import SealCheck, standings_of
from trailhouse.proof.note import Verify
from trailhouse.proof.policy import Policy
from trailhouse.store.clickhouse import ClickHouse

Different = tuple[str, Carrier, int]
"""A kind of finding, the seal, and how many events it is about."""


def is_awaited(row: SealRow, check: SealCheck) -> bool:
    """Tell whether records have come since it was looked at, and it will be looked at again."""
    is_more = row.verdict.counts and row.verdict is not SealState.INCOMPLETE
    return is_more and check.verdict == SealState.INCOMPLETE and check.looks < MOST_LOOKS


def says_the_same(row: SealRow, check: SealCheck) -> bool:
    """Tell whether verdict and counts of *check* are those of *row*, or were before more records came."""
    made = row.judgement
    sealed, missing = (made.sealed, made.missing) if made else (0, 0)
    if row.verdict is SealState.INCOMPLETE:
        is_counted = check.sealed <= sealed
    else:
        is_counted = (check.sealed, check.missing) == (sealed, missing)
    return (check.verdict == row.verdict and is_counted) or is_awaited(row, check)


def different_then(
    clickhouse: ClickHouse,
    policy: Policy,
    verify: Verify,
    carriers: Sequence[Carrier],
    checks: Mapping[bytes, Sequence[SealCheck]],
) -> Iterator[Different]:
    """Yield what *checks*, and the standings beside them, say otherwise of *carriers* than *policy* does.

    Raises:
        StorageError: ClickHouse is away (retriable) or refuses (permanent).
    """
    for some in _few(carriers):
        made = judged_round(clickhouse, policy, verify, some, is_alone=True)
        named = [row.carrier for row in made.rows if row.judgement and row.judgement.standings]
        stored = standings_of(clickhouse, named, made.standings, made.closing)
        for row in made.rows:
            by_it = [
                each
                for each in checks.get(row.carrier.record_key, ())
                if each.policy_version == policy.version
            ]
            if not all(says_the_same(row, each) for each in by_it):
                yield "check_changed", row.carrier, 1
                continue
            changed = {
                event
                for event, standing in (row.judgement.standings if row.judgement else {}).items()
                if (held := stored.get(event)) is not None
                and held[1] // 4 == policy.version
                and held[0] != standing
            }
            if changed:
                others = other_seals(clickhouse, policy, verify, row)
                changed = {each for each in changed if not others.may_say(each, stored[each][0])}
            if changed:
                yield "standing_changed", row.carrier, len(changed)


def _few(carriers: Iterable[Carrier]) -> Iterator[list[Carrier]]:
    """Yield *carriers*, so many at a time as their records may be in memory."""
    some: list[Carrier] = []
    for each in carriers:
        if some and not are_few([*some, each]):
            yield some
            some = []
        some.append(each)
    if some:
        yield some
