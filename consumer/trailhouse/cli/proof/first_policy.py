"""`trailhouse proof init`: the owner's key, the log's key, and the first policy."""

from pathlib import Path
from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written
from trailhouse.cli.proof.owner_options import OwnerKeyOption, asked_for_owner_key

EXAMPLES = (
    "Example:\n\ntrailhouse proof init log.example.org/agents --owner-key /media/usb/owner.pem"
    " --key /etc/trailhouse/log.pem --policy /etc/trailhouse/policy"
)


def init(
    log_name: Annotated[
        str,
        typer.Argument(
            metavar="LOG_NAME",
            help="Name of the log, without a scheme: `log.example.org/agents`.",
            show_default=False,
        ),
    ],
    owner_key: OwnerKeyOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="The log's private key; made if it is not there."
        ),
    ] = None,
    public_key: Annotated[
        str,
        typer.Option(help="Instead: the public key, in base64, of a command that signs (a KMS)."),
    ] = "",
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="Where the policy is written to.")
    ] = Path("trailhouse-policy"),
    anchor_seconds: Annotated[
        int, typer.Option(min=1, max=86_400, help="The most time until what is stored is anchored.")
    ] = 60,
    format: FormatOption = Format.TABLE,
) -> None:
    """Make the owner's key, the log's key and version 1 of the policy; print what an auditor pins, and the settings.

    Nothing else is touched: with those settings, `trailhouse init` stores the policy. A key file that is there is used
    as it is. The owner's key signs policies alone: take its file away from this machine, and keep a copy.
    """
    from trailhouse.operate.proof_keys.first import begin

    made = begin(
        log_name,
        owner_key_file=owner_key or asked_for_owner_key(),
        log_key_file=key if key or public_key else Path("trailhouse-log.pem"),
        log_public_key=public_key,
        policy_file=policy,
        anchor_seconds=anchor_seconds,
    )
    if written(format, made):
        return
    say(f"owner's fingerprint, which auditors pin: {made.owner_fingerprint}")
    say(f"log's fingerprint: {made.log_fingerprint}")
    say("")
    for line in made.settings:
        say(line)
    tell(
        f"take {made.owner_key_file} away from this machine, and keep a copy:"
        " who has it says whose keys count, and without it no key can be enrolled, rotated or revoked"
    )
    if made.log_key_file:
        tell(f"back {made.log_key_file} up, closed to others")
    tell(
        "set what is above, then `trailhouse init` stores the policy; workers sign once they start again"
    )
