"""`trailhouse proof anchor`: anchor once, now."""

from typing import TYPE_CHECKING

import typer

from trailhouse.cli.output.console import say, tell
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

if TYPE_CHECKING:
    from trailhouse.anchoring.anchorer import AnchorRun

EXAMPLES = "Examples:\n\ntrailhouse proof anchor\n\ntrailhouse proof anchor --format json"


def anchor(format: FormatOption = Format.TABLE) -> None:
    """Read again what is new, sign how large each log is, and hand it to those who keep it.

    Workers do this by themselves every `proof.anchor_seconds`; to do it beside them is harmless. The exit code is
    1 where a log is anchored no further, since what is stored of it contradicts itself, or somebody did not take it.
    """
    from trailhouse.anchoring.configured import configured_anchorer
    from trailhouse.proof.config import ProofConfig
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    with ClickHouse(ClickHouseConfig()) as storage:
        check_with(storage)
        run = configured_anchorer(storage, ProofConfig()).run()
    if not written(format, _answer(run)):
        _say(run)
    if run.contradictions or run.failures:
        raise typer.Exit(1)


def _answer(run: "AnchorRun") -> dict[str, object]:
    made = run.anchor.anchor
    return {
        "number": made.number,
        "at_ms": made.at_ms,
        "sha256": run.anchor.sha256.hex(),
        "is_ours": run.is_ours,
        "logs": [{"origin": each.origin, "size": each.size} for each in made.checkpoints],
        "contradictions": [str(each) for each in run.contradictions],
        "failures": {name: reason for (_, name), reason in run.failures.items()},
        "receipts": [[each.kind, each.source, each.origin] for each in run.receipts],
    }


def _say(run: "AnchorRun") -> None:
    made = run.anchor.anchor
    leaves = sum(each.size for each in made.checkpoints)
    by = "" if run.is_ours else ", made by another process at the same time"
    say(f"anchor {made.number}: {len(made.checkpoints)} logs, {leaves} offsets{by}")
    for each in run.receipts:
        say(f"{each.kind:<13}{each.source}" + (f"  {each.origin}" if each.origin else ""))
    for contradiction in run.contradictions:
        tell(f"anchored no further: {contradiction}; run `trailhouse verify`")
    for reason in run.failures.values():
        tell(reason)
