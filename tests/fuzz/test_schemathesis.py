"""The HTTP API asked by Schemathesis, all phases: no finding. Not in the default run; see `make schemathesis`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airline_fleet import fleet, store_fleet
from api_process import running_api
from trailhouse.access import TokenStore
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("SECONDS_OF_FUZZING", "600"))


def test_schemathesis_finds_nothing(database: ClickHouseConfig, tmp_path: Path) -> None:
    """Every phase and every check, over recorded runs: each answer is as the document says."""
    store_fleet(database, fleet()[:2_000])
    store = TokenStore(tmp_path / "trailhouse" / "tokens.json")
    _, secret = store.create("fuzz", tenant_id="acme", scopes=("read", "sql", "export"))
    settings = {
        "TRAILHOUSE_CLICKHOUSE_URL": database.url,
        "TRAILHOUSE_CLICKHOUSE_USER": database.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": database.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": database.database,
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS": "0",
        "TRAILHOUSE_API_REQUESTS_PER_MINUTE": "10000000",
        "XDG_STATE_HOME": str(tmp_path),
    }
    with running_api(settings=settings) as address:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(ROOT / "schemathesis.toml")),
            *("run", f"{address}/openapi.json", "--header", f"Authorization: Bearer {secret}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"),
            *("--max-time", str(SECONDS), "--request-timeout", "30", "--continue-on-failure"),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, timeout=SECONDS + 300, check=False)
    assert done.returncode == 0
