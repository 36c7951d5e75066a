"""`trailhouse proof show`: the policy in force, in words, and its keys for other programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.proof.policy import Policy
    from trailhouse.proof.policy_chain import PolicyChain

EXAMPLES = (
    "Examples:\n\ntrailhouse proof show\n\ntrailhouse proof show --keys\n\n"
    "trailhouse proof show --text > policy-for-the-auditor"
)


def show(
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Print the verifier keys (`name+id+key`) for C2SP programs."),
    ] = False,
    text: Annotated[
        bool, typer.Option("--text", help="Print the signed policy as it is, for an auditor.")
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the policy in force, whose signature the pinned owner's key has made, and what is wrong with others stored.

    The exit code is 1 where no policy is in force, or one that is stored is not as it should be.
    """
    from trailhouse.operate.proof_keys.verifier_keys import verifier_keys
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.keys import fingerprint
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.policies import pinned_owner, stored_policies

    config = ProofConfig()
    with ClickHouse(ClickHouseConfig()) as storage:
        owner = pinned_owner(config)
        chain = stored_policies(storage, config)
        policy = chain.current
        named = verifier_keys(storage, policy, owner) if policy else ()
    if text:
        _say_text(chain)
    else:
        answer = {
            "owner_fingerprint": fingerprint(owner),
            "policy": policy,
            "sha256": policy.sha256 if policy else None,
            "verifier_keys": named,
            "faults": chain.faults,
        }
        if not written(format, answer):
            _say(policy, fingerprint(owner), named if keys else ())
    if policy is None:
        tell("no policy is in force: `trailhouse proof init` makes the first")
    for fault in chain.faults:
        tell(f"warning: {fault}")
    if policy is None or chain.faults:
        raise typer.Exit(1)


def _say(policy: "Policy | None", owner: str, keys: Sequence[str]) -> None:
    from trailhouse.cli.proof.policy_words import policy_lines

    say(f"owner      {owner}")
    for line in policy_lines(policy) if policy else ():
        say(line)
    for key in keys:
        say(key)


def _say_text(chain: "PolicyChain") -> None:
    import sys

    if chain.policies:
        sys.stdout.write(chain.contents[max(chain.contents)])
