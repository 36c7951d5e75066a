"""Standing: whether an enrolled service stands behind an event, by the seals that count and the policy. Pure.

The view `events_with_standing` has the same rules in SQL.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from trailhouse.proof.policy import ANYBODY, Policy
from trailhouse.proof.seal import MOST_SEAL_SECONDS
from trailhouse.proof.seal_check import SLACK_SECONDS

PENDING_SECONDS = MOST_SEAL_SECONDS + int(SLACK_SECONDS)
"""So long after Kafka took an event of an enrolled service its seal may come."""


class Standing(StrEnum):
    """What can be said of who wrote an event."""

    ATTESTED = "attested"
    """It is the record that a seal of a service names, which may write for its tenant."""
    PENDING = "pending"
    """It names an enrolled service, whose seal is not due yet."""
    UNATTESTED = "unattested"
    """Nobody enrolled says that it is so."""
    DISPUTED = "disputed"
    """It contradicts a seal, or whoever it names may not write for its tenant."""


_WEAKEST_FIRST = (Standing.DISPUTED, Standing.UNATTESTED, Standing.PENDING, Standing.ATTESTED)


def weakest(standings: Iterable[Standing]) -> Standing | None:
    """Return what can be said of several events together, None of none: no more than of the weakest of them."""
    return min(standings, key=_WEAKEST_FIRST.index, default=None)


class Sealed(NamedTuple):
    """The numbers of a logger that a seal covers; from `end_seq` on, unless it is 0, its last seal has the only one."""

    service: str
    first_seq: int
    last_seq: int
    end_seq: int = 0

    def speaks_of(self, seq: int) -> bool:
        """Tell whether it says which record has this number, or that none has."""
        return self.first_seq <= seq <= self.last_seq or 0 < self.end_seq <= seq


class Enrolled(NamedTuple):
    """For which tenants each service may write, and those for whom no key is needed."""

    tenants: Mapping[str, frozenset[str]]
    unsealed_tenants: frozenset[str]

    def may_write(self, service: str, tenant_id: str) -> bool:
        """Tell whether *service*, enrolled or not, may write for *tenant_id*, "" for none."""
        allowed = self.tenants.get(service, self.unsealed_tenants)
        return ANYBODY in allowed or tenant_id in allowed


def enrolled(policy: Policy) -> Enrolled:
    """Return what *policy* says of services: one with several keys may write for the tenants of each."""
    tenants: dict[str, frozenset[str]] = {}
    for key in policy.services:
        tenants[key.service] = tenants.get(key.service, frozenset()) | frozenset(key.tenants)
    return Enrolled(tenants, frozenset(policy.unsealed_tenants))


class Claimed(NamedTuple):
    """Who an event says has made it, for whom, and how long ago Kafka took it; None where only its sender says.

    `is_seal` is an `audit_sealed` of no tenant: it is written for nobody.
    """

    service: str
    producer_id: str
    seq: int | None
    tenant_id: str
    age_seconds: float | None
    is_seal: bool = False


def standing_of(
    claimed: Claimed, judged: Standing | None, policy: Enrolled, seals: Iterable[Sealed]
) -> Standing:
    """Return the standing of an event.

    Args:
        claimed: What it says of itself.
        judged: What is stored of it: which seals that count name it; None where none does.
        policy: Who may write.
        seals: The seals that count of its logger.
    """
    if judged is Standing.ATTESTED or judged is Standing.DISPUTED:
        return judged
    service = claimed.service
    if not claimed.producer_id or claimed.seq is None or service not in policy.tenants:
        is_allowed = policy.may_write("", claimed.tenant_id)
        return Standing.UNATTESTED if is_allowed else Standing.DISPUTED
    if not claimed.is_seal and not policy.may_write(service, claimed.tenant_id):
        return Standing.DISPUTED
    if judged is not None:
        return judged
    if any(each.service == service and each.speaks_of(claimed.seq) for each in seals):
        return Standing.DISPUTED
    if claimed.age_seconds is not None and claimed.age_seconds < PENDING_SECONDS:
        return Standing.PENDING
    return Standing.UNATTESTED
