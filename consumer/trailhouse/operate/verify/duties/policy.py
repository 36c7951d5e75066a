"""Duty 1: each stored policy is signed by the pinned owner, and follows the one before; none was taken away."""

from itertools import chain as chain_of

from trailhouse.operate.verify.anchored.anchored import stored_anchors
from trailhouse.operate.verify.anchored.outside_anchors import outside_anchors
from trailhouse.operate.verify.cannot_check import CannotCheckError
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.anchor import parse_anchor
from trailhouse.proof.policy_chain import PolicyChain
from trailhouse.schemas.errors import ProofError

_TABLE = "log_policies"


def check(run: Run, found: Findings) -> Checked:
    """Hold the stored policies, and the file of the settings, against the owner's key and against each other."""
    chain = run.policies
    for fault in chain.faults:
        found.add(
            "policy",
            table=_TABLE,
            name=fault.removeprefix("policy: "),
            meaning="a stored policy is not the owner's, or does not follow the one before it; it counts for nothing",
            way_out="publish the owner's policies again (`trailhouse proof publish`), and delete what is not theirs",
        )
    newest = max(chain.policies, default=0)
    known = max(run.anchored.newest_policy_version, run.anchored_outside.newest_policy_version)
    if newest < known:
        found.add(
            "policy_rolled_back",
            table=_TABLE,
            name=f"version {known}",
            meaning=f"an anchor names version {known} of the policy, and the newest that is stored is {newest}",
            way_out="publish the newer version again with `trailhouse proof publish`",
        )
    _tell_exchanged(run, found, chain)
    if not chain.policies and not found:
        raise CannotCheckError("no policy is stored: `trailhouse proof init` makes the first one")
    return Checked(len(chain.policies), "policies")


def _tell_exchanged(run: Run, found: Findings, chain: PolicyChain) -> None:
    """Tell policies that are others than anchors name, and that none is there though one does."""
    named = {**run.anchored.policies, **run.anchored_outside.policies}
    for version, sha256 in named.items():
        policy = chain.policies.get(version)
        if policy is not None and policy.sha256 != sha256:
            found.add(
                "policy_exchanged",
                table=_TABLE,
                name=f"version {version}",
                meaning="an anchor names another policy of this version than the one that is stored",
                way_out="ask the owner which of both was in force, and publish it again",
            )
    if not chain.policies and (named_in := _anchor_of_a_policy(run)):
        found.add(
            "policies_gone",
            table=_TABLE,
            name=f"anchor {named_in}",
            meaning="an anchor names a policy, and none that the owner has signed is stored: they were taken away",
            way_out="publish the owner's policies again (`trailhouse proof publish`), then verify again",
        )


def _ignore(number: int, why: str) -> None:
    """Leave to duty 2 which anchors are not protected."""


def _anchor_of_a_policy(run: Run) -> int:
    """Return the number of an anchor that names a policy, whoever has signed it; 0 where none does."""
    outside = outside_anchors(run.anchors, _ignore) if run.anchors else ()
    for number, content in chain_of(stored_anchors(run.clickhouse), outside):
        try:
            anchor, _ = parse_anchor(content)
        except ProofError:
            continue
        if anchor.policy_version:
            return number
    return 0


DUTY = Duty(
    1,
    "policy",
    "each policy against the owner's key that is pinned, and the one before",
    check,
    is_scoped=True,
    in_turn=True,
)
