"""Which attacks a run tries, how they are named, and what a report says of one."""

from attack import Attack, without
from attack_list import ATTACKS
from trailhouse.operate.verify.report import Outcome, Report


def chosen(*, on_broker: bool) -> list[Attack]:
    """Return the attacks through a broker, or those on tables; where duties are switched off, those that they find."""
    duties = set(without())
    return [
        attack
        for attack in ATTACKS
        if (attack.on_broker is not None) is on_broker and (not duties or duties & attack.found_by)
    ]


def named(attack: Attack) -> str:
    """Return an attack's name as pytest shows it."""
    return attack.name.replace(" ", "-")


def told(report: Report) -> str:
    """Return what a report says, for the message of a test."""
    lines = [f"{each.duty}: {each.kind} at {each.place}" for each in report.findings]
    lines += [f"{duty.name}: {reason}" for duty in report.duties for reason in duty.reasons]
    return "; ".join(lines) or "nothing"


def judge(attack: Attack, report: Report, alone: Report) -> None:
    """Hold an attack against what was found of it, with the anchors that others keep and *alone*, without them."""
    if attack.is_harmless:
        assert report.verdict is Outcome.INTACT, told(report)
        return
    assert report.verdict is Outcome.FOUND, told(report)
    assert attack.found_by <= {each.duty for each in report.findings}, told(report)
    if attack.needs:
        assert alone.verdict is not Outcome.FOUND, told(alone)
    else:
        assert alone.verdict is Outcome.FOUND, told(alone)
