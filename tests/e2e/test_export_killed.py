"""An export that is killed before any of its steps: the same call goes on, and the files are those of one in one go."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from command_line import environment
from stored import event, in_order, store
from trailhouse.query import AuditReader, ClickHouseConfig, check_export
from trailhouse.query.export.manifest import MANIFEST, Manifest

pytestmark = pytest.mark.cluster
PROGRAM = Path(__file__).parent.parent / "support" / "killed_export.py"


@pytest.mark.long
def test_an_export_that_is_killed_before_any_step_goes_on(
    database: ClickHouseConfig, tmp_path: Path
) -> None:
    """Nothing is missing, nothing is there twice, and no folder is taken for somebody else's."""
    store(database, in_order([event(f"s-{number // 50:02d}") for number in range(500)]))
    killed = subprocess.run(
        [sys.executable, PROGRAM, tmp_path],
        env=environment(_settings(database)),
        stdout=subprocess.PIPE,
        check=True,
    )
    kills, failed = map(int, killed.stdout.split())
    assert not failed
    assert kills > 10
    with AuditReader(config=database) as reader:
        whole = _sums(tmp_path / str(kills + 1))
        for step in range(1, kills + 1):
            folder = tmp_path / str(step)
            if not (folder / MANIFEST).exists():
                reader.export(folder, rows_per_file=200)
            assert _sums(folder) == whole
            assert check_export(folder).problems == ()


def _sums(folder: Path) -> list[str]:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    return [each.sha256 for each in manifest.files]


def _settings(database: ClickHouseConfig) -> dict[str, str]:
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": database.url,
        "TRAILHOUSE_CLICKHOUSE_USER": database.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": database.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": database.database,
    }
