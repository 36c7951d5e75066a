"""What an attack is: who does what, with which keys, which duty of verify must find it, and what for that is needed."""

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Literal, NamedTuple

from attack_scene import AttackedLog, History, Keys
from broker_scene import BrokerScene
from trailhouse.operate.verify.registry import DUTIES

Needs = Literal["", "anchors", "kept"]
"""What an auditor must have: nothing, the anchors that others keep, or a checkpoint that he kept himself."""


class Who(StrEnum):
    """Who attacks; the rows of the table of threats."""

    PRODUCER = "producer's credential"
    KAFKA = "Kafka administrator"
    CLICKHOUSE = "ClickHouse administrator"
    WORKER = "worker"
    OPERATOR = "operator"
    OWNER = "owner of the log"
    ALL = "all of them, and the anchor writer"
    EVERYTHING = "all, the witnesses and the service keys"
    NOBODY = "nobody: it is harmless"


class Attack(NamedTuple):
    """One attack, or what looks like one.

    Attributes:
        name: What is done.
        who: By whom.
        has_key: Whether the attacker holds the log's key.
        found_by: Names of duties of which each must find it; none of it where nothing must be found.
        needs: What the auditor must have for that; without it, nothing is found.
        on_copy: Does it to a copy of the proven log.
        on_history: Or says what Kafka, or a worker, makes of its history; it is stored and signed as it is.
        is_rewritten: Whether the copies of the anchors are those of the true history, and not of this one.
        on_broker: Or does it to a topic of a real broker, into which real loggers write.
        on_server: Whether it needs an administrator of the server, who may make functions and dictionaries.
    """

    name: str
    who: Who
    has_key: bool
    found_by: frozenset[str]
    needs: Needs = ""
    on_copy: Callable[[AttackedLog], None] | None = None
    on_history: Callable[[History, Keys], History] | None = None
    is_rewritten: bool = False
    on_broker: Callable[[BrokerScene], None] | None = None
    on_server: bool = False

    @property
    def is_harmless(self) -> bool:
        """Whether nothing must be found."""
        return not self.found_by


VARIABLE = "ATTACKS_WITHOUT"
"""Names the duties that are switched off, one after the other, so that what each alone finds must pass; or `all`."""
ATTACKS: list[Attack] = []
"""All of them, in the order in which they are defined."""


def without() -> list[str]:
    """Return the names of the duties that are to be switched off, in their order."""
    named = os.environ.get(VARIABLE, "").split()
    known = [duty.name for duty in DUTIES]
    if unknown := set(named) - {*known, "all"}:
        raise ValueError(f"no such duties: {', '.join(sorted(unknown))}")
    return [name for name in known if name in named or "all" in named]


OnCopy = Callable[[AttackedLog], None]
OnHistory = Callable[[History, Keys], History]
OnBroker = Callable[[BrokerScene], None]


def on_copy(
    who: Who, *found_by: str, key: bool = False, needs: Needs = "", server: bool = False
) -> Callable[[OnCopy], OnCopy]:
    """Take what is decorated as an attack on a copy of the proven log, or on its *server*."""

    def take(attack: OnCopy) -> OnCopy:
        made = Attack(_name(attack.__name__), who, key, frozenset(found_by), needs)
        _add(made._replace(on_copy=attack, on_server=server))
        return attack

    return take


def on_history(
    who: Who, *found_by: str, key: bool = False, needs: Needs = "", rewritten: bool = False
) -> Callable[[OnHistory], OnHistory]:
    """Take what is decorated as an attack on what is stored in the first place."""

    def take(attack: OnHistory) -> OnHistory:
        made = Attack(_name(attack.__name__), who, key, frozenset(found_by), needs)
        _add(made._replace(on_history=attack, is_rewritten=rewritten))
        return attack

    return take


def on_broker(who: Who, *found_by: str) -> Callable[[OnBroker], OnBroker]:
    """Take what is decorated as an attack through a real broker."""

    def take(attack: OnBroker) -> OnBroker:
        made = Attack(_name(attack.__name__), who, False, frozenset(found_by))
        _add(made._replace(on_broker=attack))
        return attack

    return take


def _add(attack: Attack) -> None:
    if attack.name in {each.name for each in ATTACKS}:
        raise ValueError(f"two attacks are called {attack.name!r}")
    ATTACKS.append(attack)


def _name(function: str) -> str:
    return function.replace("_", " ")
