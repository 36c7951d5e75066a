"""`trailhouse proof rotate|revoke`: a key follows upon another, or counts no longer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import tell
from trailhouse.cli.proof.owner_options import (
    DraftOption,
    OwnerCommandOption,
    OwnerKeyOption,
    change,
)

if TYPE_CHECKING:
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.policy import Policy
    from trailhouse.store import ClickHouse

ROTATE_EXAMPLES = (
    "Example:\n\ntrailhouse proof rotate --new-key log-2.pem --owner-key /media/usb/owner.pem"
)
REVOKE_EXAMPLES = (
    "Examples:\n\ntrailhouse proof revoke --service billing --owner-key /media/usb/owner.pem\n\n"
    "trailhouse proof revoke --log-key --new-key /etc/trailhouse/log-2.pem --last-anchor 4711"
)
NewKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--new-key", metavar="FILE", help="The log's next private key; made if it is not there."
    ),
]
NewCommandOption = Annotated[
    str,
    typer.Option(
        "--new-command",
        metavar="COMMAND",
        help="Instead: a command that signs by the next key; with --new-public-key.",
    ),
]
NewPublicKeyOption = Annotated[
    str, typer.Option("--new-public-key", metavar="KEY", help="The public key of --new-command.")
]

AuthorityOption = Annotated[
    str, typer.Option(metavar="NAME", help="Count no more tokens of this time-stamp authority.")
]

LogKeyOption = Annotated[
    bool, typer.Option("--log-key", help="Revoke the log's key; --new-key follows upon it.")
]
LastAnchorOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="The last anchor that still counts: one before the key was out; if not given, the last.",
    ),
]


def rotate(
    new_key: NewKeyOption = None,
    new_command: NewCommandOption = "",
    new_public_key: NewPublicKeyOption = "",
    overlap_anchors: Annotated[
        int, typer.Option(min=0, help="For so many anchors more the old key may sign them too.")
    ] = 60,
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Have another key follow upon the log's, from the present size of each log on: both sign that checkpoint.

    What the old key signs from then on does not count: name the new one in the settings of the workers and start them
    again, before the old key may sign anchors no more.
    """
    from trailhouse.operate.proof_keys.closing import rotated
    from trailhouse.operate.proof_keys.signers import new_log_signer

    signer = new_log_signer(new_key, new_command, new_public_key)

    def made(storage: "ClickHouse", _config: "ProofConfig", policy: "Policy") -> "Policy":
        return rotated(storage, policy, signer, overlap_anchors)

    change(made, owner_key, owner_command, draft)
    tell(
        "name the new key as proof.key_file, and start the workers again: they still sign by the old one"
    )


def revoke(
    service: Annotated[
        str, typer.Option(metavar="SERVICE", help="Revoke the key in use of this service.")
    ] = "",
    operator: Annotated[
        str, typer.Option(metavar="NAME", help="Revoke the key in use of this operator.")
    ] = "",
    authority: AuthorityOption = "",
    log_key: LogKeyOption = False,
    last_anchor: LastAnchorOption = None,
    new_key: NewKeyOption = None,
    new_command: NewCommandOption = "",
    new_public_key: NewPublicKeyOption = "",
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Count of a key, which somebody else may have, only what was anchored up to an anchor.

    What it sealed or signed after that anchor is as if nobody had signed it: events are unattested, checkpoints are
    signed anew by the key that follows.
    """
    from trailhouse.operate.proof_keys.closing import revoked_log_key, revoked_member
    from trailhouse.operate.proof_keys.signers import new_log_signer

    if (bool(service), bool(operator), bool(authority), log_key).count(True) != 1:
        raise typer.BadParameter("say one of --service, --operator, --authority and --log-key")
    if not log_key and (new_key or new_command):
        raise typer.BadParameter("--new-key follows upon the log's key alone")
    signer = new_log_signer(new_key, new_command, new_public_key) if log_key else None

    def made(storage: "ClickHouse", _config: "ProofConfig", policy: "Policy") -> "Policy":
        if signer is not None:
            return revoked_log_key(storage, policy, signer, last_anchor)
        return revoked_member(
            storage, policy, last_anchor, service=service, operator=operator, authority=authority
        )

    change(made, owner_key, owner_command, draft)
