"""ClickHouse has no memory left for a read: it is answered in part and says so, or 503 and when to come again."""

from pathlib import Path

import pytest

from api_scene import an_api
from fault_proxy import clickhouse_error, http_proxy
from stored import event, in_order, store
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

NO_MEMORY = clickhouse_error(
    241,
    "MEMORY_LIMIT_EXCEEDED",
    "(total) memory limit exceeded: would use 3.51 GiB, maximum: 3.50 GiB",
)
READS = {
    "log": {"session": "s"},
    "search": {},
    "count": {},
    "histogram": {"by": "hour", "since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"},
    "facets": {"field": "type"},
    "runs": {},
    "sessions": {},
    "usage": {},
    "costs": {},
    "timeline": {"session": "s"},
    "approvals": {},
    "anomalies": {},
}


@pytest.fixture(scope="module")
def filled(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Store a run."""
    store(database_of_module, in_order([event("s", "run_started", run_id="r")]))
    return database_of_module


@pytest.mark.parametrize("read", READS)
def test_a_read_for_which_there_is_no_memory_says_so_and_passes(
    filled: ClickHouseConfig, tmp_path: Path, read: str
) -> None:
    """Never an empty answer that looks whole, nor a server's words; the next one is answered."""
    with http_proxy(filled.url) as proxy:
        config = ClickHouseConfig(
            url=proxy.url, user=filled.user, password=filled.password, database=filled.database
        )
        with an_api(config, tmp_path) as api:
            proxy.rule = lambda _: NO_MEMORY
            answer = api.client.get(f"/api/v1/{read}", params=READS[read])
            refused = proxy.refused
            proxy.rule = lambda _: "pass"
            after = api.client.get(f"/api/v1/{read}", params=READS[read])
    assert refused >= 1, "expected a statement that ClickHouse refused"
    if answer.status_code == 200:
        assert (answer.json()["complete"], len(answer.json()["left_out"])) == (False, 1)
    else:
        assert (answer.status_code, answer.json()["type"]) == (
            503,
            "urn:trailhouse:problem:unavailable",
        )
        assert int(answer.headers["retry-after"]) >= 1
    assert "3.51 GiB" not in answer.text
    assert after.status_code == 200, f"expected an answer once there is memory: {after.text}"
