"""How the owner signs: by a key file, by a command, or elsewhere; for every command that changes the policy."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell

if TYPE_CHECKING:
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.policy import Policy
    from trailhouse.store import ClickHouse

OwnerKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--owner-key", metavar="FILE", help="The owner's private key; it is asked for if not given."
    ),
]
OwnerCommandOption = Annotated[
    str,
    typer.Option(
        "--owner-command",
        metavar="COMMAND",
        help="Instead of the file: a command that signs, as the owner, what is on its input.",
        show_default=False,
    ),
]
DraftOption = Annotated[
    Path | None,
    typer.Option(
        "--draft",
        metavar="FILE",
        help="Sign elsewhere: write what is to be signed; `proof sign` and `proof publish` follow.",
    ),
]


def change(
    make: "Callable[[ClickHouse, ProofConfig, Policy], Policy]",
    owner_key: Path | None,
    owner_command: str,
    draft: Path | None,
) -> None:
    """Make the next version of the policy in force, have its owner sign it, and put it into force."""
    from trailhouse.operate.proof_keys.in_force import (
        policy_in_force,
        put_into_force,
        signed_policy,
        write_whole,
    )
    from trailhouse.operate.proof_keys.signers import owner_signer
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with
    from trailhouse.store.policies import pinned_owner

    config = ProofConfig()
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        policy = make(storage, config, policy_in_force(storage, config))
        if draft is not None:
            write_whole(draft, policy.text)
            say(f"{draft}: version {policy.version} of the policy, which nobody has signed yet")
            tell(
                f"where the owner's key is: `trailhouse proof sign {draft} --owner-key FILE`;"
                " then here: `trailhouse proof publish` with what that wrote"
            )
            return
        file = owner_key if owner_key or owner_command else asked_for_owner_key()
        signer = owner_signer(file, owner_command, pinned_owner(config))
        put_into_force(storage, config, signed_policy(policy, signer))
    say(f"version {policy.version} of the policy is in force ({policy.sha256[:16]}…)")


def asked_for_owner_key() -> Path:
    """Return the file that is typed in at the terminal.

    Raises:
        BadParameter: There is no terminal to ask at.
    """
    import sys

    if not sys.stdin.isatty():
        raise typer.BadParameter("must say where the owner's key is", param_hint="--owner-key")
    return Path(typer.prompt("File with the owner's private key", err=True)).expanduser()
