"""`trailhouse proof accept`: what nobody has signed counts as it stands, since the owner says so."""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from trailhouse.cli.output.console import say, tell, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written
from trailhouse.cli.proof.owner_options import (
    DraftOption,
    OwnerCommandOption,
    OwnerKeyOption,
    change,
)

if TYPE_CHECKING:
    from trailhouse.operate.proof_keys.accepting import Acceptable
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.policy import Policy
    from trailhouse.store import ClickHouse

EXAMPLES = (
    "Examples:\n\ntrailhouse proof accept\n\n"
    "trailhouse proof accept --reason 'upgraded from 0.9 on 1 May' --owner-key /media/usb/owner.pem\n\n"
    "trailhouse proof accept --log events/Ab3xxxxxxxxxxxxxxxxxxx/4/0 --reason 'upgrade' --draft next-policy"
)


def accept(
    reason: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Why, for auditors; without it, what could be accepted is shown."
        ),
    ] = "",
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of this log alone, as shown; may be repeated."),
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Accept it no longer.")] = False,
    owner_key: OwnerKeyOption = None,
    owner_command: OwnerCommandOption = "",
    draft: DraftOption = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Accept, as the owner, what no key has signed and none will: rows from before the log was proven, ends of logs.

    What stands there now is hashed, and its root is put into the policy: what is changed there later is found, and
    `trailhouse verify` names what was accepted, when and why. Look at what is shown first: whoever can write to
    ClickHouse may have written it.
    """
    if withdraw and reason:
        raise typer.BadParameter("say either --reason or --withdraw")
    if not reason and not withdraw:
        _show(format)
        return

    def made(storage: "ClickHouse", config: "ProofConfig", policy: "Policy") -> "Policy":
        from trailhouse.proof.policy_changes import without_accepted

        if not withdraw:
            return _accepted(storage, config, policy, log or (), reason)
        from trailhouse.operate.proof_keys.accepting import withdrawn

        return without_accepted(policy, withdrawn(policy, log or ()))

    change(made, owner_key, owner_command, draft)


def _accepted(
    storage: "ClickHouse",
    config: "ProofConfig",
    policy: "Policy",
    names: "list[str] | tuple[()]",
    reason: str,
) -> "Policy":
    from trailhouse.cli.proof.policy_words import accepted_words
    from trailhouse.operate.proof_keys.accepting import Acceptances
    from trailhouse.proof.policy_changes import with_accepted

    found = Acceptances(storage, config, policy, tell_step)
    try:
        accepted = found.accepted(names, reason, dt.datetime.now(dt.UTC))
    finally:
        found.close()
    for each in accepted:
        tell(f"accepts {accepted_words(each)}")
    return with_accepted(policy, accepted)


def _show(format: Format) -> None:
    from trailhouse.operate.proof_keys.accepting import Acceptances
    from trailhouse.operate.proof_keys.in_force import policy_in_force
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        config = ProofConfig()
        found = Acceptances(storage, config, policy_in_force(storage, config), tell_step)
        try:
            acceptable = found.all()
        finally:
            found.close()
    if written(format, acceptable):
        return
    for each in acceptable:
        say(_line(each))
    if not acceptable:
        say("nothing is there to be accepted: all that is stored is signed")


def _line(each: "Acceptable") -> str:
    state = "accepted" if each.is_accepted else "not accepted"
    return f"{each.log}  offsets {each.first_offset} to {each.last_offset}, {state}: {each.meaning}"
