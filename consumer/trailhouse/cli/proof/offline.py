"""`trailhouse proof sign|publish`: the owner signs where his key is, and the pipeline learns of it afterwards."""

from pathlib import Path
from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.proof.owner_options import OwnerKeyOption, asked_for_owner_key

SIGN_EXAMPLES = "Example:\n\ntrailhouse proof sign next-policy --owner-key /media/usb/owner.pem --to next-policy-signed"
PUBLISH_EXAMPLES = "Example:\n\ntrailhouse proof publish next-policy-signed"


def sign(
    draft: Annotated[
        Path,
        typer.Argument(metavar="DRAFT", help="What --draft has written.", show_default=False),
    ],
    owner_key: OwnerKeyOption = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Where it goes; `DRAFT.signed` if not given."),
    ] = None,
) -> None:
    """Show what a draft of a policy says, and sign it by the owner's key. Needs no pipeline, settings or network."""
    from trailhouse.cli.proof.policy_words import policy_lines
    from trailhouse.operate.proof_keys.in_force import read_signed, signed_draft, write_whole
    from trailhouse.proof.keys import fingerprint, read_key_file

    owner = read_key_file(owner_key or asked_for_owner_key())
    policy, content = signed_draft(read_signed(draft), owner)
    for line in policy_lines(policy):
        tell(line)
    target = to or draft.with_name(f"{draft.name}.signed")
    write_whole(target, content)
    say(f"{target}: version {policy.version}, signed by {fingerprint(owner.public_key)}")


def publish(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A policy that its owner has signed.", show_default=False
        ),
    ],
) -> None:
    """Put a signed policy into force: it is stored, and written to the file of the settings. May be repeated."""
    from trailhouse.operate.proof_keys.in_force import put_into_force, read_signed
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        policy = put_into_force(storage, ProofConfig(), read_signed(file))
    say(f"version {policy.version} of the policy is stored ({policy.sha256[:16]}…)")
