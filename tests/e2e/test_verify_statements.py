"""What `verify` asks of ClickHouse grows with what is stored, and not with the days that lie between."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attack_choice import told
from attack_copies import a_log
from attack_scene import HOUR_MS, Commit, History, make_keys
from cluster import Cluster
from sealing_scene import claimed
from trailhouse.operate.verify.report import Outcome
from trailhouse.store import ClickHouse

pytestmark = pytest.mark.cluster

DAY_HOURS = 24


@contextmanager
def _counted(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Yield the statements that are asked meanwhile, by whichever client."""
    asked: list[str] = []

    def counting(ask: Callable[..., Any]) -> Callable[..., Any]:
        def counted(self: ClickHouse, sql: str, *args: Any, **options: Any) -> Any:
            asked.append(" ".join(sql.split()))
            return ask(self, sql, *args, **options)

        return counted

    with monkeypatch.context() as patch:
        for name in ("query", "stream", "command"):
            patch.setattr(ClickHouse, name, counting(getattr(ClickHouse, name)))
        yield asked


def _statements(
    days_between: int, cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return what `verify` asks of a log of three partitions with events on three days, so far apart."""
    folder.mkdir()
    commits = []
    for place, days in enumerate((days_between + 1, 1, 0)):
        some = {number: [claimed("legacy", "p", 3 * place + number)] for number in range(3)}
        at = dict.fromkeys(range(3), place)
        commits.append(Commit(some, at, days * DAY_HOURS * HOUR_MS + HOUR_MS, is_anchored=True))
    with a_log(cluster.clickhouse_config, make_keys(folder), folder / "anchors") as log:
        log.store(History(tuple(commits)))
        assert log.one("SELECT count() FROM session_manifests") >= 3 * days_between
        with _counted(monkeypatch) as asked:
            report = log.verify()
        assert report.verdict is Outcome.INTACT, told(report)
        return asked


def test_days_without_an_event_are_asked_for_by_no_statement(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two months with events on two days cost as many statements as three days do."""
    near = _statements(1, cluster, tmp_path / "near", monkeypatch)
    far = _statements(60, cluster, tmp_path / "far", monkeypatch)
    assert len(near) >= 15
    assert len(far) <= len(near) + 3, sorted(set(far) - set(near))
