"""`trailhouse proof enroll|operator|witness|require`: who seals, orders and cosigns, and what is demanded."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

ENROLL_EXAMPLES = (
    "Examples:\n\ntrailhouse proof enroll billing --key billing.pem --tenant acme --owner-key /media/usb/owner.pem\n\n"
    "trailhouse proof enroll planner --public-key KEY --all-tenants --draft next-policy"
)
OPERATOR_EXAMPLES = (
    "Example:\n\ntrailhouse proof operator alice --public-key KEY --owner-key /media/usb/owner.pem"
)
WITNESS_EXAMPLES = (
    "Example:\n\ntrailhouse proof witness KEY --quorum 1 --owner-key /media/usb/owner.pem"
)
AUTHORITY_EXAMPLES = (
    "Example:\n\ntrailhouse proof authority freetsa --certificate freetsa-root.pem"
    " --owner-key /media/usb/owner.pem"
)
REQUIRE_EXAMPLES = (
    "Examples:\n\ntrailhouse proof require --seals-for-all --owner-key /media/usb/owner.pem\n\n"
    "trailhouse proof require --unsealed-tenant sandbox --anchor-seconds 30 --draft next-policy"
)
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="File with its private key.")
]
PublicKeyOption = Annotated[
    str, typer.Option("--public-key", metavar="KEY", help="Instead: its public key in base64.")
]


def enroll(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE", help="Its name, as its events have it.", show_default=False
        ),
    ],
    key: KeyOption = None,
    public_key: PublicKeyOption = "",
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            help="A tenant that it may write for; may be repeated; '' for events of none."
        ),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="It may write for every tenant, and for none.")
    ] = False,
    overlap_anchors: Annotated[
        int,
        typer.Option(
            min=0, help="Where it has a key: for so many anchors more that one counts too."
        ),
    ] = 60,
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Let a service's loggers seal what they log by a key, and say which tenants they may write for.

    A service that has a key gets the new one besides, until the old one is closed after --overlap-anchors.
    """
    from trailhouse.operate.proof_keys.covered import last_anchor
    from trailhouse.operate.proof_keys.signers import public_key_of
    from trailhouse.proof.policy import ANYBODY
    from trailhouse.proof.policy_changes import with_service

    if all_tenants is bool(tenant):
        raise typer.BadParameter("say either --tenant or --all-tenants")
    sealing = public_key_of(key, public_key)

    def enrolled(storage: "ClickHouse", _config: "ProofConfig", policy: "Policy") -> "Policy":
        anchor = last_anchor(storage, policy)
        closes_at = (anchor.number if anchor else 0) + overlap_anchors
        return with_service(policy, service, sealing, tenant or (ANYBODY,), closes_at)

    change(enrolled, owner_key, owner_command, draft)


def operator(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.", show_default=False)],
    key: KeyOption = None,
    public_key: PublicKeyOption = "",
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Let a person order by a key what only an operator may, such as an erasure."""
    from trailhouse.operate.proof_keys.signers import public_key_of
    from trailhouse.proof.policy_changes import with_operator

    ordering = public_key_of(key, public_key)
    change(
        lambda _storage, _config, policy: with_operator(policy, name, ordering),
        owner_key,
        owner_command,
        draft,
    )


def witness(
    verifier_key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="Its verifier key, `name+id+key`, as `trailhouse witness` prints it.",
            show_default=False,
        ),
    ],
    quorum: Annotated[
        int | None,
        typer.Option(min=0, help="How many witnesses must cosign; as before if not given."),
    ] = None,
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Count a witness's cosignatures, and say how many an anchored checkpoint must bear."""
    from trailhouse.proof.policy_changes import with_witness

    change(
        lambda _storage, _config, policy: with_witness(policy, verifier_key, quorum),
        owner_key,
        owner_command,
        draft,
    )


def authority(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to call it.", show_default=False)
    ],
    certificate: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The root above its certificate, in PEM.", show_default=False
        ),
    ],
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Count the time-stamp tokens of an authority (RFC 3161); from then on anchors must bear tokens that count.

    The workers ask those in `proof.timestamp_urls`; `trailhouse verify` holds each token against this root.
    """
    from trailhouse.operate.proof_keys.certificates import root_certificate
    from trailhouse.proof.policy_changes import with_authority

    root = root_certificate(certificate)
    change(
        lambda _storage, _config, policy: with_authority(policy, name, root),
        owner_key,
        owner_command,
        draft,
    )


def require(
    seals_for_all: Annotated[
        bool, typer.Option("--seals-for-all", help="Nobody may write unsealed.")
    ] = False,
    unsealed_tenant: Annotated[
        list[str] | None,
        typer.Option(help="A tenant for whom any service may write unsealed; may be repeated."),
    ] = None,
    quorum: Annotated[
        int | None, typer.Option(min=0, help="How many witnesses must cosign.")
    ] = None,
    anchor_seconds: Annotated[
        int | None, typer.Option(min=1, max=86_400, help="The most time between two anchors.")
    ] = None,
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
) -> None:
    """Say what the policy demands: seals, cosignatures, and how long what is stored may be without an anchor."""
    from trailhouse.proof.policy_changes import next_version

    if seals_for_all and unsealed_tenant:
        raise typer.BadParameter("say either --seals-for-all or --unsealed-tenant")
    changes: dict[str, object] = {}
    if seals_for_all or unsealed_tenant:
        changes["unsealed_tenants"] = tuple(unsealed_tenant or ())
    if quorum is not None:
        changes["quorum"] = quorum
    if anchor_seconds is not None:
        changes["anchor_seconds"] = anchor_seconds
    if not changes:
        raise typer.BadParameter("nothing is said that would change")
    change(
        lambda _storage, _config, policy: next_version(policy, **changes),
        owner_key,
        owner_command,
        draft,
    )
