"""A row policy of ClickHouse's own, on a server with more than one user: whoever verifies is told of it."""

from pathlib import Path

import pytest

from granted_clickhouse import EVERYTHING, OWNER, granted
from trailhouse.operate.verify.duties.views import views
from trailhouse.operate.verify.verifying import verify
from trailhouse.proof.config import ProofConfig
from trailhouse.store import ClickHouse
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster


def test_a_row_policy_of_one_user_is_told_to_whoever_verifies(tmp_path: Path) -> None:
    """It binds nobody but that user, who would miss a session: its name and its table are said."""
    folder = tmp_path / "clickhouse"
    with granted(folder, EVERYTHING) as config:
        migrate(config)
    with (
        granted(folder, EVERYTHING, hidden="session_id = 's'") as config,
        ClickHouse(config) as clickhouse,
    ):
        report = verify(clickhouse, proof=ProofConfig(), duties=(views.DUTY,))
    found = {(each.kind, each.place.table, each.place.name) for each in report.findings}
    assert ("row_policy", "event_log", OWNER) in found
