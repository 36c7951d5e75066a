"""`trailhouse rebuild`: make anew what follows from the log, while workers and readers run."""

from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.printable import counted
from trailhouse.cli.output.written import written

EXAMPLES = ("trailhouse rebuild", "trailhouse rebuild --anew", "trailhouse rebuild --take-over")


def rebuild(
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Make every row anew, also where nothing differs."),
    ] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Begin anew where another call was killed; only when it is not running any more.",
        ),
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Bring the tables that reads over all sessions use to what the log says; `reconcile` names what differs.

    Workers and readers go on meanwhile, and no answer is less complete than before. It wants the rights of
    `init`. What lacks some days' rows is given them; else the table is made beside, which takes its size on
    disk once more, and exchanged. Run it again after whatever cut it off.
    """
    from trailhouse.operate.derived_rows import patient
    from trailhouse.operate.rebuild import rebuild as rebuild_tables
    from trailhouse.store import ClickHouse, ClickHouseConfig
    from trailhouse.store.migrate import check_with

    with ClickHouse(patient(ClickHouseConfig())) as storage:
        check_with(storage)
        done = rebuild_tables(storage, is_anew=anew, takes_over=take_over, report=tell_step)
    if written(format, done):
        return
    for each in done:
        words = {
            "kept": "follows from the log, nothing was done",
            "mended": f"added {counted(each.added, 'row')} that it lacked",
            "remade": f"made anew ({each.added} lacked, {each.removed} too many, {each.corrected} otherwise)",
        }
        say(f"{each.table}: {words[each.action]}; {counted(each.rows, 'row')}")
