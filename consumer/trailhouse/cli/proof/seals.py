"""`trailhouse proof seals`: the seals that came are judged now, as the worker does it beside its work."""

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written

EXAMPLES = "Examples:\n\ntrailhouse proof seals\n\ntrailhouse proof seals --format json"


def seals(format: FormatOption = Format.TABLE) -> None:
    """Judge the seals that came since the last time, so that readers see who stands behind which event.

    The worker of partition 0 does this by itself where an owner's key is pinned. The exit code is 1 where a seal does
    not count, and 2 where no policy is in force.
    """
    from trailhouse.attesting.seal_rounds import Judged, judge_seals
    from trailhouse.proof.config import ProofConfig
    from trailhouse.proof.keys import is_signed_by
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with
    from trailhouse.store.policies import current_policy

    def tell_round(judged: Judged) -> None:
        tell(f"{counted(judged.seals, 'seal')} judged")

    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        policy = current_policy(storage, ProofConfig())
        if policy is None:
            tell("no policy is in force: `trailhouse proof init` makes the first")
            raise typer.Exit(2)
        found = judge_seals(storage, policy, is_signed_by, on_round=tell_round)
    if not written(format, found._asdict()):
        say(f"{counted(found.seals, 'seal')} judged, which name {counted(found.events, 'event')}")
    if found.refused:
        tell(f"{counted(found.refused, 'seal')} of them: no key of the policy has made them")
        raise typer.Exit(1)
