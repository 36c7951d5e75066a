"""One random change of one stored row of a random history: `verify` finds it, unless nothing holds it against the log.

One history and six changes by default; ``CHANGES=1-100`` and ``EACH=20`` try more.
"""

import os
from pathlib import Path

import pytest

from attack import without
from attack_choice import told
from attack_copies import a_copy, a_log
from attack_scene import AttackedLog, make_keys
from cluster import Cluster
from random_change import Change, drawn_change
from random_events import seeds
from random_log import RandomLog
from trailhouse.operate.verify.report import Outcome
from trailhouse.schemas.errors import StorageError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(without()), reason="all duties are done"),
]


@pytest.mark.parametrize("seed", seeds("CHANGES", "1-1"))
def test_a_change_is_found(seed: int, cluster: Cluster, tmp_path: Path) -> None:
    """A byte at the end of a hash, a blank behind a name, a number that is one more, a row that is gone."""
    missed: list[str] = []
    with a_log(cluster.clickhouse_config, make_keys(tmp_path), tmp_path / "anchors") as log:
        history = RandomLog(log, seed)
        history.grow(history.draw.randrange(3, 7))
        history.operate(2)
        for number in range(int(os.environ.get("EACH", "6"))):
            with a_copy(log, tmp_path / f"anchors-{number}") as copy:
                change = drawn_change(copy.clickhouse, history.draw)
                if change is None or not change.can_be_found:
                    continue
                row = _changed_row(copy, change)
                if not row:
                    continue
                report = copy.verify()
                # A leaf of a log that was never there is named, as one that nobody has signed: could not be checked.
                if report.verdict is Outcome.INTACT:
                    missed.append(
                        f"{change.table}.{change.column} {change.how}: {told(report)}; {row}"
                    )
    assert not missed, f"seed {seed}"


def _changed_row(log: AttackedLog, change: Change) -> str:
    """Make *change*; return the row that is gone, or come, since; nothing where all are as before."""
    before = _rows(log, change.table)
    try:
        for statement in change.statements:
            log.sql(statement)
    except StorageError:  # a value that the column's type does not have
        return ""
    after = _rows(log, change.table)
    return " | ".join([*(before - after), *(after - before)])


def _rows(log: AttackedLog, table: str) -> set[str]:
    """Return the rows without copies that a merge may take out at any time: of these none is missed."""
    [(engine,)] = log.clickhouse.query(
        "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    ).rows
    final = " FINAL" if str(engine).startswith("Replacing") else ""
    return {str(row) for row in log.clickhouse.query(f"SELECT DISTINCT * FROM {table}{final}").rows}
