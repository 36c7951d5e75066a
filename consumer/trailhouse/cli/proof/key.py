"""`trailhouse proof key`: a key for a service or an operator."""

from pathlib import Path
from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

EXAMPLES = "Example:\n\ntrailhouse proof key billing.pem"


def key(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where the private key is or goes.", show_default=False
        ),
    ],
    format: FormatOption = Format.TABLE,
) -> None:
    """Make a private key in FILE, which only its owner may read, or read the one there; print its public key.

    Make it where it is used, and hand the public key alone to whoever enrolls it.
    """
    from trailhouse.operate.proof_keys.signers import key_of_file
    from trailhouse.proof.keys import fingerprint
    from trailhouse.proof.policy_changes import key_text

    signer, is_made = key_of_file(file)
    public_key = key_text(signer.public_key)
    found = {
        "public_key": public_key,
        "fingerprint": fingerprint(signer.public_key),
        "file": str(file),
        "is_made": is_made,
    }
    if written(format, found):
        return
    say(public_key)
    tell(f"{'made' if is_made else 'is in'} {file}, {found['fingerprint']}")
