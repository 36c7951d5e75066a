"""`trailhouse hold`: what must not be erased, until somebody lifts it."""

from typing import Annotated

import typer

from trailhouse.cli.erase import OperatorKeyOption, OperatorOption, event_id_of, operator_of
from trailhouse.cli.output.console import say, tell

EXAMPLES = (
    'trailhouse hold --session SESSION --reason "case 7" --operator alice --operator-key alice.pem',
    'trailhouse hold --everything --lift --reason "case 7 is closed" --operator alice --operator-key alice.pem',
    "trailhouse hold --list",
)


def hold(
    subject: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Hold events of this actor's id.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Hold this session.")] = None,
    event: Annotated[str | None, typer.Option(help="Hold the event of this id.")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Hold all of a tenant; '' for events of none.")
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Hold all of the log.")] = False,
    lift: Annotated[bool, typer.Option("--lift", help="Lift what was held.")] = False,
    list_orders: Annotated[
        bool, typer.Option("--list", help="List the orders of operators: erasures, holds, lifts.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept, so no name should be in it.")] = "",
    operator: OperatorOption = "",
    operator_key: OperatorKeyOption = None,
) -> None:
    """Put records under a legal hold: `trailhouse erase` refuses them until an operator lifts it.

    The signed order names hashes alone: who reads it does not learn whose records are held.
    """
    from trailhouse.operate.erase.orders import hold as order
    from trailhouse.operate.proof_keys.in_force import policy_in_force
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.erasure import hold_key
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.erasures import stored_orders
    from trailhouse.store.migrate import check_with

    held_event = event_id_of(event)
    keys = [
        *([hold_key("subject", subject)] if subject is not None else ()),
        *([hold_key("session", session)] if session is not None else ()),
        *([hold_key("event", held_event)] if held_event is not None else ()),
        *([hold_key("tenant", tenant)] if tenant is not None else ()),
        *([hold_key("everything")] if everything else ()),
    ]
    if bool(keys) is list_orders:
        raise typer.BadParameter("say what is held, or --list")
    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        policy = policy_in_force(storage, ProofConfig())
        if not list_orders:
            made = order(
                storage,
                policy,
                operator_of(operator, operator_key, reason),
                keys,
                reason=reason,
                is_lifted=lift,
            )
            say(f"order {made.number}: {'lifted' if lift else 'held'}")
            return
        found = stored_orders(storage, policy)
    for each in found.orders:
        say(f"{each.number}  {each.kind}  {len(each.digests)}  by {each.operator}: {each.reason}")
    for fault in found.faults:
        tell(f"warning: {fault}")
    if found.faults:
        raise typer.Exit(1)
