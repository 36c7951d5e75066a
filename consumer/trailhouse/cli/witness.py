"""`trailhouse witness`: cosign the logs of another team, and refuse what does not go on from what was seen."""

from pathlib import Path
from typing import Annotated

import typer

from trailhouse.cli.output.console import say

MAX_LOGS_BYTES = 1_048_576
EXAMPLES = (
    "trailhouse proof key witness.pem",
    "trailhouse witness witness.example.org/w1 --key witness.pem --logs logs.txt --state /var/lib/witness",
)


def witness(
    name: Annotated[str, typer.Argument(help="Its name, such as `witness.example.org/w1`.")],
    key: Annotated[Path, typer.Option(help="File with its private key, of no other use.")],
    logs: Annotated[
        Path,
        typer.Option(help="File with a verifier key (`name+id+key`) of each log, a line each."),
    ],
    state: Annotated[
        Path, typer.Option(help="Folder for what it has seen; never restore an old one.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for any.")] = 8467,
) -> None:
    """Run a witness (C2SP tlog-witness) for logs that another team runs: a log that forks is not cosigned.

    It stands by itself: it needs no Kafka, no ClickHouse, and is best run by whoever does not run those. A verifier
    key counts for every partition and generation of the log that it names. Its own verifier key is printed, for the
    policy: `trailhouse proof witness`. It speaks HTTP alone: put what speaks TLS before it.
    """
    from trailhouse.anchoring.witness.server import WitnessServer
    from trailhouse.anchoring.witness.state import WitnessState
    from trailhouse.anchoring.witness.witness import TrustedLogs, Witness
    from trailhouse.proof.keys import read_key_file
    from trailhouse.proof.note import COSIGNATURE_TYPE, is_key_name, verifier_key

    if not is_key_name(name):
        raise typer.BadParameter("must be a name without a space or a plus", param_hint="NAME")
    signer = read_key_file(key)
    trusted = TrustedLogs(_lines(logs))
    kept = WitnessState(state)
    try:
        server = WitnessServer((host, port), Witness(name, signer, trusted, kept))
    except OSError as error:
        kept.close()
        raise typer.BadParameter(
            f"{host}:{port} cannot be listened at ({error.strerror})", param_hint="--port"
        ) from None
    with server:
        say(f"verifier key  {verifier_key(name, signer.public_key, COSIGNATURE_TYPE)}")
        say(f"listening at  http://{host}:{server.server_address[1]}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")
        finally:
            kept.close()


def _lines(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8") as opened:
            content = opened.read(MAX_LOGS_BYTES)
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter(f"{file} cannot be read", param_hint="--logs") from None
    lines = [line.strip() for line in content.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise typer.BadParameter(f"{file} names no log", param_hint="--logs")
    return found
