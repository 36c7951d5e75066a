"""Do the duties, some beside each other, and say what they found together."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from trailhouse.operate.derived_rows import patient
from trailhouse.operate.verify.beside import EndableClickHouse, beside
from trailhouse.operate.verify.duty import CannotCheckError, Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.leaves.walk import LeafWalk
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.meanwhile import LOOKS, Doings, doings, settled_doings
from trailhouse.operate.verify.registry import DUTIES
from trailhouse.operate.verify.report import DutyReport, Outcome, Report, verdict_of
from trailhouse.operate.verify.rows.processes import RowReaders
from trailhouse.operate.verify.run import Run
from trailhouse.operate.verify.scope import Scope
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ConfigError, ProofError, SigningError, StorageError
from trailhouse.store.clickhouse import ClickHouse

SWITCHED_OFF = "it was switched off"
_BEGUN_FIRST = ("standings", "columns", "seals", "numbers")
"""Of those that are done beside others: ClickHouse computes the longest for these."""
_Result = TypeVar("_Result")


def verify(
    clickhouse: ClickHouse,
    *,
    proof: ProofConfig,
    anchors: str = "",
    scope: Scope | None = None,
    quick: bool = False,
    since: Mapping[LogId, Kept] | None = None,
    without: Collection[str] = frozenset(),
    duties: Sequence[Duty] = DUTIES,
    jobs: int = 1,
    tell: Callable[[str], None] = lambda step: None,
) -> Report:
    """Hold what is stored against what was signed; nothing is changed, and workers may run meanwhile.

    Args:
        clickhouse: The database; its settings' longest wait is stretched to what statements over all of it take.
        proof: The settings, of which `owner_key` is the public key that the auditor knows from elsewhere.
        anchors: Where copies of the anchors are kept outside, such as ``folder:/path``.
        scope: Which rows; all if None.
        quick: Let ClickHouse hash, five times as fast: it is trusted then, and the report says so.
        since: What the last run has kept of each log: what it has seen is not looked at again.
        without: Names of duties to leave out.
        duties: Other duties than all.
        jobs: In how many further processes rows are held against their records, where they are many; 1 for in this
            one. Each takes about 150 MB.
        tell: Told what is being done.

    Returns:
        The report. It raises nothing for what is wrong with the log, nor where ClickHouse is away.
    """
    began = time.monotonic()
    with EndableClickHouse(patient(clickhouse.config)) as storage:

        def fresh_run() -> Run:
            return Run(
                storage,
                scope=scope,
                is_quick=quick,
                proof=proof,
                anchors=anchors,
                since=since,
                readers=RowReaders(jobs, storage.go_on),
                tell=tell,
            )

        run, reports = _settled(fresh_run, lambda run: _reports(run, duties, without, storage.end))
        run.begin()
        walk = _guarded(_walked, run)
        return Report(
            verdict=verdict_of(reports, is_later=bool(run.since)),
            scope=_words(run),
            is_all=run.scope.is_all and not run.since,
            duties=reports,
            sizes={} if walk is None else walk.held_sizes,
            kept=() if walk is None else run.kept,
            seconds=time.monotonic() - began,
        )


def _settled(
    fresh_run: Callable[[], Run], do: Callable[[Run], tuple[DutyReport, ...]]
) -> tuple[Run, tuple[DutyReport, ...]]:
    """Do all duties of a run; again, where anything is found and something of `doings` was done meanwhile."""
    run = fresh_run()
    before = _doings(run, doings)
    reports = do(run)
    for _ in range(LOOKS - 1):
        if not any(each.verdict is Outcome.FOUND for each in reports):
            break
        now = _doings(run, settled_doings)
        if now == before:
            break
        run.tell("looking once more: something was ordered, erased, rebuilt or begun meanwhile")
        run, before = fresh_run(), now
        reports = do(run)
    return run, reports


def _doings(run: Run, read: Callable[[ClickHouse], Doings]) -> Doings | None:
    """Return what has been done until now; None where ClickHouse is away: duties say so."""
    try:
        return read(run.clickhouse)
    except StorageError:
        return None


def _reports(
    run: Run, duties: Sequence[Duty], without: Collection[str], end: Callable[[], None]
) -> tuple[DutyReport, ...]:
    wanted = [duty for duty in duties if _reason_to_leave_out(duty, run, without) is None]
    unprepared: dict[str, tuple[str, ...]] = {}
    for duty in wanted:
        run.begin()
        _guarded(duty.prepare, run)
        unprepared[duty.name] = tuple(run.reasons)
    steps = [
        partial(_all_done, some, run, without, unprepared) for some in _in_order(duties) if some
    ]
    done = {each.name: each for some in beside(steps, end) for each in some}
    return tuple(done[duty.name] for duty in duties)


def _in_order(duties: Sequence[Duty]) -> list[list[Duty]]:
    """Return those that are done one after the other, then each that is done beside these, the longest first."""
    alone = [duty for duty in duties if not duty.in_turn]
    alone.sort(key=lambda duty: duty.name not in _BEGUN_FIRST)
    return [[duty for duty in duties if duty.in_turn], *([duty] for duty in alone)]


def _all_done(
    duties: Sequence[Duty],
    run: Run,
    without: Collection[str],
    unprepared: Mapping[str, Sequence[str]],
) -> list[DutyReport]:
    return [_done(duty, run, without, unprepared.get(duty.name, ())) for duty in duties]


def _walked(run: Run) -> LeafWalk:
    return run.roots


def _words(run: Run) -> str:
    return "what is new since the last run" if run.since else str(run.scope)


def _reason_to_leave_out(duty: Duty, run: Run, without: Collection[str]) -> str | None:
    if duty.name in without:
        return SWITCHED_OFF
    is_done = run.scope.is_all or duty.is_scoped or (duty.is_timed and not run.is_part)
    return None if is_done else duty.left_out


def _guarded(step: Callable[[Run], _Result], run: Run) -> _Result | None:
    """Do *step*; what it could not do is a reason of the duty at hand."""
    try:
        return step(run)
    except CannotCheckError as error:
        run.cannot(str(error))
    except (StorageError, ProofError, SigningError, ConfigError) as error:
        run.cannot(str(error))
    except Exception as error:  # noqa: BLE001 - whoever wrote what it reads must not end the other duties
        run.cannot(f"it ended by an unexpected {type(error).__name__}: report it")
    return None


def _done(duty: Duty, run: Run, without: Collection[str], reasons: Sequence[str]) -> DutyReport:
    left_out = _reason_to_leave_out(duty, run, without)
    if left_out is not None:
        return DutyReport(
            number=duty.number,
            name=duty.name,
            holds=duty.holds,
            verdict=Outcome.LEFT_OUT,
            reasons=(left_out,),
        )
    run.begin(reasons)
    found = Findings(duty.name)
    began = time.monotonic()
    run.tell(f"{duty.number} {duty.name}: {duty.holds}")
    checked = _guarded(lambda run: duty.check(run, found), run) or Checked(0, "")
    verdict = Outcome.INTACT
    if found:
        verdict = Outcome.FOUND
    elif run.reasons:
        verdict = Outcome.COULD_NOT_CHECK
    return DutyReport(
        number=duty.number,
        name=duty.name,
        holds=duty.holds,
        verdict=verdict,
        checked=checked.amount,
        unit=checked.unit,
        findings=found.all(),
        reasons=tuple(run.reasons),
        trusts=tuple(run.trusted),
        accepted=tuple(run.accepted),
        seconds=time.monotonic() - began,
    )
