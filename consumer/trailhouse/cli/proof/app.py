"""The group `trailhouse proof`: which commands it has; each stands in a module of its own."""

import typer

from trailhouse.cli.proof import (
    accept,
    anchor,
    closing,
    first_policy,
    key,
    manifest,
    members,
    offline,
    seals,
    show,
)

proof_app = typer.Typer(
    no_args_is_help=True,
    help="Keys and policy: whose signatures count, for what, and from when to when.",
    epilog=(
        "Examples:\n\ntrailhouse proof init log.example.org/agents --owner-key /media/usb/owner.pem\n\n"
        "trailhouse proof enroll billing --key billing.pem --tenant acme\n\ntrailhouse proof show"
    ),
)
proof_app.command("init", epilog=first_policy.EXAMPLES)(first_policy.init)
proof_app.command("key", epilog=key.EXAMPLES)(key.key)
proof_app.command("enroll", epilog=members.ENROLL_EXAMPLES)(members.enroll)
proof_app.command("operator", epilog=members.OPERATOR_EXAMPLES)(members.operator)
proof_app.command("witness", epilog=members.WITNESS_EXAMPLES)(members.witness)
proof_app.command("authority", epilog=members.AUTHORITY_EXAMPLES)(members.authority)
proof_app.command("require", epilog=members.REQUIRE_EXAMPLES)(members.require)
proof_app.command("rotate", epilog=closing.ROTATE_EXAMPLES)(closing.rotate)
proof_app.command("revoke", epilog=closing.REVOKE_EXAMPLES)(closing.revoke)
proof_app.command("accept", epilog=accept.EXAMPLES)(accept.accept)
proof_app.command("sign", epilog=offline.SIGN_EXAMPLES)(offline.sign)
proof_app.command("publish", epilog=offline.PUBLISH_EXAMPLES)(offline.publish)
proof_app.command("anchor", epilog=anchor.EXAMPLES)(anchor.anchor)
proof_app.command("seals", epilog=seals.EXAMPLES)(seals.seals)
proof_app.command("show", epilog=show.EXAMPLES)(show.show)
proof_app.command("manifest", epilog=manifest.EXAMPLES)(manifest.manifest)
