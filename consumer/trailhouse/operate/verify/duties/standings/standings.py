"""Duty 15: what readers are shown of seals and of who stands behind an event follows from seals, records and policy.

It is worked out again as the worker does it (`trailhouse.attesting`). What the worker has not judged yet is nobody's
forgery: it judges what it finds, and again what the policy says otherwise of.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from trailhouse.attesting.judgement import SealState, version_of
from trailhouse.attesting.seal_rounds import IsWhole, Round, judged_round
from trailhouse.attesting.stored_seals import Carrier, SealRow
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.duties.seals.looks import is_possible
from trailhouse.operate.verify.duties.seals.seals import look_at_seals
from trailhouse.operate.verify.duties.seals.seen_whole import SeenWhole, TooManySealsError, are_few
from trailhouse.operate.verify.duties.standings.added import (
    AGAIN,
    tell_checks_of_nothing,
    tell_unnamed,
)
from trailhouse.operate.verify.duties.standings.earlier import (
    different_then,
    is_awaited,
    says_the_same,
)
from trailhouse.operate.verify.duties.standings.overlapping import other_seals
from trailhouse.operate.verify.duties.standings.rows import (
    SealCheck,
    checks_of,
    drawn_seals,
    judged_until,
    rounds,
    standings_of,
)
from trailhouse.operate.verify.duties.standings.told_services import services_of, tell_services
from trailhouse.operate.verify.duties.standings.whole_seals import (
    SealedRecords,
    attested_versions,
    sealed_records,
)
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.rows.unseen import unseen
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import Policy
from trailhouse.proof.policy_chain import PolicyChain
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import CountedSeal
from trailhouse.proof.standing import Standing
from trailhouse.store.policies import stored_policies

_MEANING = {
    "check_missing": "what was found of a seal is not there, and later ones were judged",
    "check_changed": "it says of a seal what does not follow from it: the row was changed or added",
    "standing_missing": "an event that a seal names is not shown as what it is: its row was taken away",
    "standing_changed": "an event is shown as what does not follow from the seal that names it: the row was changed",
}


_WRITTEN = {Standing.ATTESTED, Standing.DISPUTED, Standing.UNATTESTED}


class _Fault(NamedTuple):
    kind: str
    carrier: Carrier
    events: int = 1


def check(run: Run, found: Findings) -> Checked:
    """Work out again what readers are shown, and compare."""
    _ = run.policy
    chain = stored_policies(
        run.clickhouse, run.proof
    )  # of now: what was judged meanwhile was judged by it
    tell_services(run, found, chain)
    until = judged_until(run.clickhouse)
    seals = 0
    closing: set[tuple[int, bytes]] = set()
    uncounted: set[bytes] = set()
    drawn = _drawn(run)
    for carriers in rounds(run.clickhouse, unseen(run.firsts), drawn):
        seals += len(carriers)
        whole = [each for each in carriers if each.size_bytes]
        look = _Look(run, chain, until)
        faults = look.faults(whole)
        if faults:  # it may have been judged meanwhile, or another policy come into force
            look = _Look(run, stored_policies(run.clickhouse, run.proof), until)
            faults = look.faults(whole)
        closing |= look.closing
        uncounted |= look.uncounted
        for fault in faults:
            _tell(found, fault)
    tell_checks_of_nothing(run, found)
    tell_unnamed(run, found, closing, uncounted)
    return Checked(seals, "seals")


def _drawn(run: Run) -> Collection[bytes]:
    """Return which seals are looked at again that an earlier run has seen; what is left out is said."""
    if not run.since:
        return ()
    total, keys = drawn_seals(run.clickhouse, unseen(run.firsts), run.roots.secret)
    if total > len(keys):
        run.trusts(
            f"how events are shown whose seals an earlier run has seen: {len(keys)} of {total:,} such seals were"
            " drawn and looked at again; a run without --incremental looks at all"
        )
    return keys


def _tell(found: Findings, fault: _Fault) -> None:
    carrier = fault.carrier
    table = "seal_checks" if fault.kind.startswith("check") else "event_standings"
    found.add(
        fault.kind,
        table=table,
        log=f"{carrier.topic}/{carrier.topic_id}/{carrier.partition}",
        first_offset=carrier.offset,
        meaning=_MEANING[fault.kind],
        way_out=AGAIN,
        count=fault.events,
    )


def _firsts(run: Run) -> dict[tuple[str, str, int], int]:
    """Return below which offset an earlier run has seen everything; a seal's place does not say of which cluster."""
    found: dict[tuple[str, str, int], int] = {}
    for (_, *topic, partition), first in run.firsts.items():
        place = str(topic[0]), str(topic[1]), int(partition)
        found[place] = min(first, found.get(place, first))
    return found


class _Look:
    """Looks at the seals of one round."""

    def __init__(
        self,
        run: Run,
        chain: PolicyChain,
        until: Mapping[tuple[str, int], int],
    ) -> None:
        from trailhouse.proof.keys import is_signed_by

        self._run = run
        self._chain = chain
        self._until = until
        self._firsts = _firsts(run)
        self._verify = is_signed_by
        self._seals = run.shared(look_at_seals).value
        self.closing: set[tuple[int, bytes]] = set()
        self.uncounted: set[bytes] = set()

    @property
    def _policy(self) -> Policy:
        current = self._chain.current
        if current is None:
            raise CannotCheckError("no stored policy is signed by the owner's key that is pinned")
        return current

    def faults(self, carriers: Sequence[Carrier]) -> list[_Fault]:
        """Return what is wrong with what is stored of the seals of *carriers*."""
        left = [carriers] if carriers else []
        faults: list[_Fault] = []
        while left:
            some = left.pop()
            try:
                faults += self._faults(some, is_few=are_few(some))
            except TooManySealsError:
                left += [some[len(some) // 2 :], some[: len(some) // 2]]
        return faults

    def _faults(self, carriers: Sequence[Carrier], *, is_few: bool) -> list[_Fault]:
        """Return what is wrong; unless *is_few*, it is `TooManySealsError` where many must be looked at."""
        clickhouse = self._run.clickhouse
        checks = checks_of(
            clickhouse, carriers
        )  # before the records: a judgement after it knows no less
        seen = SeenWhole(partial(self._is_seen_whole, checks))
        made = self._judged(carriers, seen.is_whole if is_few else seen.is_whole_of_few)
        if seen.seals and not self._are_attested(carriers, seen.seals):
            if not is_few:
                raise TooManySealsError
            made = self._judged(
                carriers, partial(self._is_whole, sealed_records(clickhouse, carriers))
            )
        self.closing |= set(made.closing)
        # Of a whole seal they were compared by ClickHouse: a row an event is not read for it.
        named = [row.carrier for row in made.rows if row.judgement and row.judgement.standings]
        stored = standings_of(clickhouse, named, made.standings, made.closing)
        faults: list[_Fault] = []
        for row in made.rows:
            of_seal = checks.get(row.carrier.record_key, [])
            if row.judgement is None and not of_seal:
                self.uncounted.add(row.carrier.record_key)
            place = row.carrier.topic_id, row.carrier.partition
            if not of_seal and row.carrier.offset < self._until.get(place, -1):
                faults.append(_Fault("check_missing", row.carrier))
            if any(not self._follows(row, each) for each in of_seal):
                faults.append(_Fault("check_changed", row.carrier))
                continue
            if row.judgement is not None:
                faults += self._of_events(row, row.judgement.standings, of_seal, stored)
        faults += self._of_closing(made, checks, stored)
        return faults + self._of_before(made, checks)

    def _of_before(self, made: Round, checks: Mapping[bytes, Sequence[SealCheck]]) -> list[_Fault]:
        """Return what is wrong with what was found by earlier policies, and waits to be judged again."""
        waiting: dict[int, list[Carrier]] = {}
        for row in made.rows:
            of_seal = checks.get(row.carrier.record_key, ())
            for version in {each.policy_version for each in of_seal if self._is_stale(each)}:
                waiting.setdefault(version, []).append(row.carrier)
        return [
            _Fault(*different)
            for version, carriers in waiting.items()
            for different in different_then(
                self._run.clickhouse, self._chain.policies[version], self._verify, carriers, checks
            )
        ]

    def _judged(self, carriers: Sequence[Carrier], is_whole: IsWhole) -> Round:
        return judged_round(
            self._run.clickhouse,
            self._policy,
            self._verify,
            carriers,
            is_alone=True,
            is_whole=is_whole,
        )

    def _is_seen_whole(
        self, checks: Mapping[bytes, Sequence[SealCheck]], carrier: Carrier, counted: CountedSeal
    ) -> bool:
        """Tell whether the records of a seal were seen to be all there.

        An earlier run has seen it of an old one that is said to be whole: where its events are not as many, they are
        looked at.
        """
        if self._seals.is_whole(counted.seal):
            return True
        verdicts = {each.verdict for each in checks.get(carrier.record_key, ())}
        return self._is_old(carrier) and verdicts == {SealState.WHOLE}

    def _is_old(self, carrier: Carrier) -> bool:
        return carrier.offset < self._firsts.get(
            (carrier.topic, carrier.topic_id, carrier.partition), 0
        )

    def _are_attested(self, carriers: Sequence[Carrier], seals: Sequence[Seal]) -> bool:
        """Tell whether all records of *seals*, which are all there, are shown as attested."""
        times = [each.occurred_us for each in carriers]
        versions = attested_versions(self._run.clickhouse, seals, (min(times), max(times)))
        return versions is not None and all(
            self._is_version(Standing.ATTESTED, version) for version in versions
        )

    def _is_whole(
        self, records: Mapping[bytes, SealedRecords], carrier: Carrier, counted: CountedSeal
    ) -> bool:
        """Tell whether the records of a seal are all there, and shown as what it makes of them."""
        found = records.get(carrier.record_key)
        return (
            found is not None
            and found.are_sealed_by(counted)
            and all(
                standing == Standing.ATTESTED and self._is_version(standing, version)
                for standing, version in found.standings
            )
        )

    def _follows(self, row: SealRow, check: SealCheck) -> bool:
        """Tell whether *check* is what the worker writes of the seal of *row*, now or when it has looked."""
        is_same = _identity(row) == check[1:11]
        if not is_same or check.is_ahead or check.policy_version > self._policy.version:
            return False
        times_ms = row.carrier.appended_ms, check.judged_ms
        if not is_possible(check.looks, check.policy_version, *times_ms):
            return False
        if self._is_stale(check):
            return True
        return says_the_same(row, check)

    def _is_stale(self, check: SealCheck) -> bool:
        """Tell whether the policy has changed its mind about the seal's key since: it will be judged again."""
        return self._has_changed(check, check.policy_version)

    def _is_left(self, row: SealRow, checks: Sequence[SealCheck], version: int) -> bool:
        """Tell whether what was written by the policy of *version* waits for a worker to judge the seal again.

        It writes what a seal says first, and then that it was judged: once that is there nothing older counts.
        """
        is_awaited = any(self._is_stale(each) for each in checks) or not checks
        return is_awaited and self._has_changed(row, version)

    def _has_changed(self, of: SealCheck | SealRow, version: int) -> bool:
        name = of.service, of.public_key
        before = self._chain.policies.get(version)
        return before is not None and services_of(before).get(name) != services_of(
            self._policy
        ).get(name)

    def _of_events(
        self,
        row: SealRow,
        standings: Mapping[tuple[int, bytes], Standing],
        checks: Sequence[SealCheck],
        stored: Mapping[tuple[int, bytes], tuple[str, int]],
    ) -> Iterable[_Fault]:
        is_due = any(not self._is_stale(each) and not is_awaited(row, each) for each in checks)
        if row.verdict is SealState.INCOMPLETE and row.judgement is not None:
            is_due = is_due and all(each.sealed == row.judgement.sealed for each in checks)
        missing: set[tuple[int, bytes]] = set()
        changed: set[tuple[int, bytes]] = set()
        for event, standing in standings.items():
            held = stored.get(event)
            if held is None:
                if is_due and standing is not Standing.UNATTESTED:
                    missing.add(event)
            elif not self._is_version(*held) or (
                held[0] != standing and not self._is_left(row, checks, held[1] // 4)
            ):
                changed.add(event)
        if missing or changed:
            others = other_seals(self._run.clickhouse, self._policy, self._verify, row)
            missing = {event for event in missing if not others.may_lack(event)}
            changed = {event for event in changed if not others.may_say(event, stored[event][0])}
        if missing:
            yield _Fault("standing_missing", row.carrier, len(missing))
        if changed:
            yield _Fault("standing_changed", row.carrier, len(changed))

    def _of_closing(
        self,
        made: Round,
        checks: Mapping[bytes, Sequence[SealCheck]],
        stored: Mapping[tuple[int, bytes], tuple[str, int]],
    ) -> Iterable[_Fault]:
        carriers = {
            (each.carrier.occurred_us, each.carrier.record_key): each.carrier for each in made.rows
        }
        for event, standing in made.closing.items():
            carrier = carriers.get(event)
            held = stored.get(event)
            if carrier is None or not checks.get(carrier.record_key):
                continue
            if any(self._is_stale(each) for each in checks[carrier.record_key]):
                continue
            if held is None:
                yield _Fault("standing_missing", carrier)
            elif held[0] != standing or not self._is_version(*held):
                yield _Fault("standing_changed", carrier)

    def _is_version(self, standing: str, version: int) -> bool:
        """Tell whether *version* is one that the worker gives to *standing*, so that what it writes later wins."""
        by = self._chain.policies.get(version // 4)
        is_one = by is not None and standing in _WRITTEN
        return is_one and version_of(by or self._policy, Standing(standing)) == version


def _identity(row: SealRow) -> tuple[object, ...]:
    carrier = row.carrier
    return (
        row.producer_id,
        row.service,
        row.first_seq,
        row.last_seq,
        row.end_seq,
        carrier.session_id,
        carrier.tenant_id,
        carrier.occurred_us,
        row.seal_hash,
        row.public_key,
    )


DUTY = Duty(
    15,
    "standings",
    "what readers are shown of seals and standings against seals, records and policy",
    check,
    left_out="what is shown of seals and standings is worked out for all of the log alone",
)
