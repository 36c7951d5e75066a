"""What readers are told of services, held against the policy of that version: a part of duty 15."""

from trailhouse.operate.verify.duties.standings.rows import ServiceRows, service_rows
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.proof.policy import Policy
from trailhouse.proof.policy_chain import PolicyChain
from trailhouse.store.policies import stored_policies


def tell_services(run: Run, found: Findings, chain: PolicyChain) -> None:
    """Hold what readers are told of services against the policy of that version."""
    stored = service_rows(run.clickhouse)
    table, way_out = "policy_services", "delete the rows: a worker writes them anew"
    if stored.version < stored.seen:
        found.add(
            "services_missing",
            table=table,
            name=f"version {stored.seen}",
            meaning="seals were judged by this policy, and readers are not told of it: its rows were taken away",
            way_out=way_out,
        )
    if not stored.version:
        return
    policy = chain.policies.get(stored.version)
    if policy is None:
        newest = max(stored_policies(run.clickhouse, run.proof).policies, default=0)
        if stored.version <= newest:
            run.cannot(f"policy {stored.version}, which readers are told of, is not stored")
            return
    _tell_differences(found, stored, policy, chain)


def _tell_differences(
    found: Findings, stored: ServiceRows, policy: Policy | None, chain: PolicyChain
) -> None:
    """Tell which services readers are told of wrongly, and which they are not told of."""
    table, way_out = "policy_services", "delete the rows: a worker writes them anew"
    expected = services_of(policy) if policy else {}
    wrong = [
        key
        for key, (tenants, last_anchor, changed_in) in stored.services.items()
        if expected.get(key) != (tenants, last_anchor)
        or not 0 < changed_in <= stored.version
        or (
            changed_in in chain.policies
            and services_of(chain.policies[changed_in]).get(key) != expected[key]
        )
    ]
    if wrong:
        found.add(
            "services_changed",
            table=table,
            name=f"version {stored.version}",
            meaning="readers are told of services what no policy says that the owner has signed",
            way_out=way_out,
            count=len(wrong),
        )
    if gone := expected.keys() - stored.services.keys():
        found.add(
            "services_missing",
            table=table,
            name=f"version {stored.version}",
            meaning="readers are not told of services that the policy names",
            way_out=way_out,
            count=len(gone),
        )


def services_of(
    policy: Policy | None,
) -> dict[tuple[str, str], tuple[tuple[str, ...], int | None]]:
    """Return by service and key what readers must be told of it: tenants, and the last anchor that counts."""
    if policy is None:
        return {}
    said = {
        (each.service, each.public_key): (each.tenants, each.last_anchor)
        for each in policy.services
    }
    return {("", ""): (policy.unsealed_tenants, None)} | said
