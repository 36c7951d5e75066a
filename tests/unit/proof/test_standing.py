"""The standing of an event, rule by rule."""

import base64

import pytest

from trailhouse.proof.policy import LogKey, Policy, ServiceKey
from trailhouse.proof.standing import (
    PENDING_SECONDS,
    Claimed,
    Enrolled,
    Sealed,
    Standing,
    enrolled,
    standing_of,
    weakest,
)

POLICY = Enrolled({"billing": frozenset({"acme"})}, frozenset({"acme", ""}))
NOW = Claimed("billing", "p-1", 5, "acme", 1.0)
SEALED = Sealed("billing", 0, 9)


@pytest.mark.parametrize(
    ("claimed", "judged", "seals", "expected"),
    [
        (NOW, Standing.ATTESTED, [SEALED], "attested"),
        (NOW, Standing.DISPUTED, [], "disputed"),
        (NOW, Standing.UNATTESTED, [SEALED], "unattested"),
        (NOW, None, [], "pending"),
        (NOW._replace(age_seconds=float(PENDING_SECONDS)), None, [], "unattested"),
        (NOW._replace(age_seconds=None), None, [], "unattested"),
        (NOW, None, [SEALED], "disputed"),
        (NOW, None, [Sealed("other", 0, 9)], "pending"),
        (NOW, None, [Sealed("billing", 6, 9)], "pending"),
        (NOW, None, [Sealed("billing", 0, 3, end_seq=4)], "disputed"),
        (NOW, None, [Sealed("billing", 0, 3)], "pending"),
        (NOW._replace(tenant_id="globex"), None, [], "disputed"),
        (NOW._replace(tenant_id=""), None, [], "disputed"),
        (NOW._replace(tenant_id="", is_seal=True), None, [], "pending"),
        (NOW._replace(service="other"), None, [SEALED], "unattested"),
        (NOW._replace(service=""), None, [], "unattested"),
        (NOW._replace(producer_id=""), None, [], "unattested"),
        (NOW._replace(seq=None), None, [SEALED], "unattested"),
        (NOW._replace(service="other", tenant_id="globex"), None, [], "disputed"),
    ],
)
def test_a_standing_follows_from_seals_and_policy(
    claimed: Claimed, judged: Standing | None, seals: list[Sealed], expected: str
) -> None:
    """Seals decide; else who may write for whom; else whether a seal can still come."""
    assert standing_of(claimed, judged, POLICY, seals) == expected


def test_a_policy_says_who_is_enrolled() -> None:
    """A service with several keys may write for the tenants of each; the star is every tenant."""
    key = base64.b64encode(bytes(32)).decode()
    policy = Policy(
        log_name="log.example.org/a",
        version=1,
        log_keys=(LogKey(public_key=key),),
        services=(
            ServiceKey(service="a", public_key=key, tenants=("x",)),
            ServiceKey(service="a", public_key=key[::-1], tenants=("y",)),
            ServiceKey(service="b", public_key=key, tenants=("*",)),
        ),
        unsealed_tenants=("z",),
    )
    found = enrolled(policy)
    assert found.tenants == {"a": {"x", "y"}, "b": {"*"}}
    assert [found.may_write(*pair) for pair in (("a", "y"), ("a", "z"), ("b", "q"), ("c", "z"), ("c", "x"))] == [
        True, False, True, True, False,
    ]  # fmt: skip


def test_together_events_stand_as_the_weakest() -> None:
    """One that is disputed makes the whole so; of nothing nothing is said."""
    assert weakest(Standing) == Standing.DISPUTED
    assert (
        weakest([Standing.ATTESTED, Standing.PENDING, Standing.UNATTESTED]) == Standing.UNATTESTED
    )
    assert weakest([]) is None
