"""The result of `verify`: a verdict, and for each duty what was checked, found and trusted. Pure."""

from enum import StrEnum

import msgspec

from trailhouse.operate.verify.finding import Finding
from trailhouse.operate.verify.state import Kept
from trailhouse.proof.policy import Accepted


class Outcome(StrEnum):
    """What can be said."""

    INTACT = "intact"
    FOUND = "found"
    COULD_NOT_CHECK = "could_not_check"
    LEFT_OUT = "left_out"
    """Of a duty alone: what was asked for does not need it, or it was switched off."""


class DutyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one duty.

    Attributes:
        number: Its number, which never changes.
        name: Its name, likewise.
        holds: What it holds against what.
        verdict: Intact only if all of it could be looked at.
        checked: How many were looked at.
        unit: Of what, such as ``leaves``.
        findings: What was found.
        reasons: Why some of it could not be checked, or was left out.
        trusts: What the verdict rests on besides the keys, such as that ClickHouse hashes honestly.
        accepted: What counts as signed since the owner accepts it: who, when and why is in it.
        seconds: How long it took.
    """

    number: int
    name: str
    holds: str
    verdict: Outcome
    checked: int = 0
    unit: str = ""
    findings: tuple[Finding, ...] = ()
    reasons: tuple[str, ...] = ()
    trusts: tuple[str, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    seconds: float = 0.0

    @property
    def found(self) -> int:
        """How many rows, leaves or checkpoints the findings are about."""
        return sum(finding.count for finding in self.findings)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` has established.

    Attributes:
        verdict: `FOUND` if anything was; else `COULD_NOT_CHECK` if anything could not be checked; else `INTACT`.
        scope: What was asked for, in words.
        is_all: Whether that was all of the log.
        duties: Each duty, in order of its number.
        sizes: How many leaves of each log were held against a signed root, by its name.
        kept: What a later run may go on from.
        seconds: How long all took.
    """

    verdict: Outcome
    scope: str
    is_all: bool
    duties: tuple[DutyReport, ...]
    sizes: dict[str, int]
    seconds: float
    kept: tuple[Kept, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What all duties have found."""
        return tuple(finding for duty in self.duties for finding in duty.findings)


def verdict_of(duties: tuple[DutyReport, ...], *, is_later: bool = False) -> Outcome:
    """Return what *duties* say together.

    Where none looked at anything, nothing could be checked, unless the run *is_later* than another that did.
    """
    verdicts = {duty.verdict for duty in duties}
    if Outcome.FOUND in verdicts:
        return Outcome.FOUND
    if Outcome.COULD_NOT_CHECK in verdicts or not (
        is_later or any(duty.checked for duty in duties)
    ):
        return Outcome.COULD_NOT_CHECK
    return Outcome.INTACT
