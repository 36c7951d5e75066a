"""Duty 8: tables, views and row policies are as the migrations make them."""

from trailhouse.operate.verify.duties.views.handlers import handlers_of_ours
from trailhouse.operate.verify.duties.views.reader_settings import (
    settings_of_others,
    settings_of_ours,
)
from trailhouse.operate.verify.duties.views.row_policies import Kind, grant_line, policies_of
from trailhouse.operate.verify.duties.views.shadowing import shadowing_functions
from trailhouse.operate.verify.duties.views.shapes import (
    differences,
    foreign_views,
    read_shapes,
    reference_shapes,
)
from trailhouse.operate.verify.duty import Checked, Duty
from trailhouse.operate.verify.finding import Findings
from trailhouse.operate.verify.run import Run
from trailhouse.schemas.errors import SchemaMismatchError, StorageRejectedError
from trailhouse.store.migrate import plan_with

_AGAIN = "make it again as the migrations have it, after asking who changed it"


def check(run: Run, found: Findings) -> Checked:
    """Compare what ClickHouse has with what the migrations make on the same server."""
    shapes = read_shapes(run.clickhouse, run.clickhouse.config.database)
    try:
        reference = reference_shapes(run.clickhouse)
    except StorageRejectedError as error:
        run.cannot(
            f"the migrations could not be repeated in a database of their own to compare with: {error}"
        )
    else:
        for name, what in differences(shapes, reference):
            _tell(found, name, what)
        for name, target in foreign_views(run.clickhouse, run.clickhouse.config.database):
            if target in reference:
                _tell(found, name, f"writes into {target}")
    _tell_policies(run, found, "row", "hides rows from those whom it binds")
    _tell_policies(run, found, "masking", "shows other values to those whom it binds")
    _tell_handlers(run, found)
    _tell_functions(run, found)
    _tell_settings(run, found)
    _tell_migrations(run, found)
    return Checked(len(shapes), "tables and views")


def _tell_policies(run: Run, found: Findings, kind: Kind, what: str) -> None:
    policies = policies_of(run.clickhouse, kind)
    if policies is None:
        line = grant_line(run.clickhouse.config.user, f"SHOW {kind.upper()} POLICIES")
        run.cannot(f"{kind} policies cannot be seen: {line}")
    for policy in policies or ():
        found.add(
            f"{kind}_policy",
            table=policy.table or "every table",
            name=policy.name,
            meaning=f"a {kind} policy, which no migration makes, {what}",
            way_out="drop it, after asking who made it, and for whom",
        )


def _tell_handlers(run: Run, found: Findings) -> None:
    """Tell handlers of HTTP that stand in front of ClickHouse where readers and this check ask."""
    names = handlers_of_ours(run.clickhouse)
    if names is None:
        line = grant_line(run.clickhouse.config.user, "SHOW HANDLERS")
        run.cannot(f"handlers of HTTP cannot be seen: {line}")
    for name in names or ():
        found.add(
            "foreign_handler",
            table="every table",
            name=name,
            meaning="a handler that somebody has made takes requests for the address at which ClickHouse is asked, and"
            " may answer them in its place",
            way_out="DROP HANDLER, after asking who made it; then verify again",
        )


def _tell_functions(run: Run, found: Findings) -> None:
    """Tell functions that stand for others: no view, and no statement of this run, means what it says then."""
    for name in shadowing_functions(run.clickhouse):
        found.add(
            "foreign_function",
            table="every table",
            name=name,
            meaning="a function that somebody has made has the name of one of ClickHouse's, and is called in its place:"
            " views, readers and this check are given what it returns",
            way_out="DROP FUNCTION, after asking who made it; then verify again",
        )


def _tell_settings(run: Run, found: Findings) -> None:
    """Tell whose settings hide rows from whom they bind, and what binds ourselves; say which others change answers."""
    others = settings_of_others(run.clickhouse)
    if others is None:
        line = grant_line(run.clickhouse.config.user, "SHOW SETTINGS PROFILES")
        run.cannot(f"settings of users and profiles cannot be seen: {line}")
    for each in others or ():
        if not each.hides:
            run.trusts(
                f"the setting {each.name} of {each.holder} changes answers to whom it binds, asked without Trailhouse"
            )
            continue
        found.add(
            "hiding_setting",
            table="every table",
            name=f"{each.name} of {each.holder}",
            meaning="a setting, which no migration makes, hides rows from those whom it binds, or cuts answers short",
            way_out="take it away, after asking who made it, and for whom; then verify again",
        )
    for name in settings_of_ours(run.clickhouse):
        run.cannot(
            f"the setting {name} of the user who verifies changes answers, and he may not set it back:"
            " have it taken away, and verify again"
        )


def _tell_migrations(run: Run, found: Findings) -> None:
    """Tell where the database says that it was made by other migrations, so that the next worker would make it anew."""
    try:
        is_other = bool(plan_with(run.clickhouse))
    except SchemaMismatchError:
        is_other = True
    if is_other:
        found.add(
            "migrations_differ",
            table="schema_migrations",
            meaning="it does not name the migrations of this version: rows were taken away, added or changed",
            way_out="`trailhouse init` writes what is missing; ask who changed the rest",
        )


def _tell(found: Findings, name: str, what: str) -> None:
    if not what:
        found.add(
            "table_missing",
            table=name,
            meaning="a table or view that the migrations make is not there",
            way_out="attach it again if it was detached; else make it again as the migrations have it",
        )
    elif what.startswith("writes into"):
        found.add(
            "foreign_view",
            table=name,
            meaning="a materialized view that no migration makes writes into a table of the log",
            way_out="drop it, after asking who made it; then rebuild the table that it wrote into",
        )
    else:
        found.add(
            "altered",
            table=name,
            name=what,
            meaning="it is not as the migrations make it, so that it may show, keep or fill in something else",
            way_out=_AGAIN,
        )


DUTY = Duty(
    8,
    "views",
    "tables, views and row policies against what the migrations make",
    check,
    is_scoped=True,
)
