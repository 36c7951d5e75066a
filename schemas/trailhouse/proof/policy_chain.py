"""All policies of a log, each by its number, and which is in force: the newest that the owner's key has signed. Pure.

Whoever can write where policies are stored can add rows and take some away. A row without the owner's signature counts
for nothing, and an older version never for more than a newer one that is known; what is missing is told.
"""

from collections.abc import Iterable
from typing import NamedTuple

from trailhouse.proof.note import Verify
from trailhouse.proof.policy import Policy, check_follows, parse_policy
from trailhouse.schemas.errors import ProofError


class PolicyChain(NamedTuple):
    """The versions that count, by number, each as it was signed; and what is wrong with what was found.

    `policies` holds no version twice. `faults` names versions and rules, and never what a row holds.
    """

    policies: dict[int, Policy]
    contents: dict[int, str]
    faults: tuple[str, ...]

    @property
    def current(self) -> Policy | None:
        """The newest; None where there is none."""
        return self.policies[max(self.policies)] if self.policies else None


def policy_chain(
    contents: Iterable[str | bytes], owner_key: bytes, verify: Verify, log_name: str = ""
) -> PolicyChain:
    """Return the policies among *contents* that the owner has signed, for *log_name* where one is given.

    Where the owner signed two of one version, that counts which the next version names, or else the first by hash.
    """
    faults: list[str] = []
    found: dict[int, dict[str, tuple[Policy, str]]] = {}
    for content in contents:
        try:
            policy = parse_policy(content, owner_key, verify)
        except ProofError as error:
            faults.append(str(error))
            continue
        if log_name and policy.log_name != log_name:
            faults.append("policy: is of another log")
            continue
        text = content.decode() if isinstance(content, bytes) else content
        found.setdefault(policy.version, {})[policy.sha256] = policy, text
    chosen: dict[int, tuple[Policy, str]] = {}
    for version in sorted(found, reverse=True):
        ours = found[version]
        if len(ours) > 1:
            faults.append(f"policy: the owner has signed {len(ours)} of version {version}")
        newer = chosen.get(version + 1)
        wanted = newer[0].previous if newer else ""
        chosen[version] = ours.get(wanted) or ours[min(ours)]
    faults += _links(chosen)
    versions = sorted(chosen)
    return PolicyChain(
        {version: chosen[version][0] for version in versions},
        {version: chosen[version][1] for version in versions},
        tuple(faults),
    )


def _links(chosen: dict[int, tuple[Policy, str]]) -> Iterable[str]:
    """Yield what is wrong from version to version."""
    known = 0
    for version in sorted(chosen):
        if version > known + 1:
            missing = f"{known + 1}" if version == known + 2 else f"{known + 1} to {version - 1}"
            yield f"policy: version {missing} is missing"
        elif known:
            try:
                check_follows(chosen[version][0], chosen[known][0])
            except ProofError as error:
                yield str(error)
        known = version
