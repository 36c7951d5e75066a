"""What `verify` asks of ClickHouse grows with what is stored, and not with the days that lie between."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attack_choice import told
from attack_copies import a_log
from attack_scene import HOUR_MS, Commit, History, make_keys
from cluster import Cluster
from sealing_scene import claimed
from trailhouse.operate.verify.logs import LogId
from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.operate.verify.state import Kept
from trailhouse.store import ClickHouse

pytestmark = [pytest.mark.cluster, pytest.mark.long]

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


def _commit(place: int, days_ago: int) -> Commit:
    some = {number: [claimed("legacy", "p", 3 * place + number)] for number in range(3)}
    at = dict.fromkeys(range(3), place)
    return Commit(some, at, days_ago * DAY_HOURS * HOUR_MS + HOUR_MS, is_anchored=True)


def _statements(
    days_between: int, cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return what `verify` asks of a log of three partitions with events on three days, so far apart."""
    folder.mkdir()
    commits = [_commit(place, days) for place, days in enumerate((days_between + 1, 1, 0))]
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


def test_a_later_run_makes_the_manifests_of_new_days_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaves and rows of days that an earlier run has held are read for none; a changed root is found by its anchor."""

    def read_for_manifests(since: Mapping[LogId, Kept] | None) -> tuple[int, Report]:
        with _counted(monkeypatch) as asked:
            report = log.verify(since=since)
        return sum("r.is_there" in each for each in asked), report

    with a_log(cluster.clickhouse_config, make_keys(tmp_path), tmp_path / "anchors") as log:
        log.store(History((_commit(0, 3), _commit(1, 2))))
        read, whole = read_for_manifests(None)
        assert (read, whole.verdict) == (3, Outcome.INTACT), told(whole)
        since = {each.log: each for each in whole.kept}
        assert {each.manifests_end for each in whole.kept} == {1}
        read, later = read_for_manifests(since)
        assert (read, later.verdict) == (0, Outcome.INTACT), told(later)
        assert {each.manifests_end for each in later.kept} == {1}
        log.store(History((_commit(2, 1),)))
        read, newer = read_for_manifests(since)
        assert (read, newer.verdict) == (3, Outcome.INTACT), told(newer)
        assert {each.manifests_end for each in newer.kept} == {2}
        of_first = "kafka_partition = 0 AND first_offset = 0"
        log.sql(
            "INSERT INTO session_manifests SELECT * REPLACE (toFixedString('x', 32) AS root)"
            f" FROM session_manifests WHERE {of_first}"
        )
        log.sql(
            f"ALTER TABLE session_manifests DELETE WHERE {of_first} AND root != toFixedString('x', 32)"
            " SETTINGS mutations_sync = 2"
        )
        _, changed = read_for_manifests({each.log: each for each in newer.kept})
        assert changed.verdict is Outcome.FOUND, told(changed)
        assert {each.name for each in changed.duties if each.findings} == {"manifests"}
