"""Every operation at the doors: what the reader answers, of recorded runs, for one tenant and for all."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airline_fleet import fleet, store_fleet
from api_scene import Api, an_api
from cluster import Cluster
from trailhouse.access.json_form import encoded
from trailhouse.access.operations import OPERATIONS
from trailhouse.query import AuditReader
from trailhouse.schemas import AuditEvent
from trailhouse.store import ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster

SOME = 1_500
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def recorded() -> list[AuditEvent]:
    """Return recorded events of three tenants."""
    return list(fleet()[:SOME])


@pytest.fixture(scope="module")
def recorded_database(cluster: Cluster, recorded: list[AuditEvent]) -> ClickHouseConfig:
    """Store them, a third of them twice."""
    config = ClickHouseConfig(
        url=cluster.clickhouse_url,
        user=cluster.clickhouse_user,
        password=cluster.clickhouse_password,
        database=f"trailhouse_{uuid.uuid4().hex[:12]}",
    )
    migrate(config)
    store_fleet(config, recorded)
    return config


@pytest.fixture(scope="module")
def api(
    recorded_database: ClickHouseConfig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """Run the API over it."""
    with an_api(recorded_database, tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def headers(api: Api) -> dict[str | None, dict[str, str]]:
    """Return a token's header by tenant; None for all tenants."""
    return {
        tenant: api.token(f"of-{tenant}", tenant, ("read", "sql")) for tenant in (*TENANTS, None)
    }


def runs_of(recorded: list[AuditEvent], tenant: str | None) -> list[tuple[str, str]]:
    """Return session and run of the tenant's runs, in order."""
    return list(
        dict.fromkeys(
            (each.session_id, each.run_id)
            for each in recorded
            if each.run_id is not None and tenant in (None, each.tenant_id)
        )
    )


Ask = Callable[[AuditReader, list[tuple[str, str]]], Any]
CASES: dict[str, tuple[Callable[[list[tuple[str, str]]], dict[str, Any]], Ask]] = {
    "search": (
        lambda _: {"q": "type:(tool_call_started OR run_failed)", "limit": 20, "since": "2020-01-01T00:00:00Z"},
        lambda reader, _: reader.search("type:(tool_call_started OR run_failed) since:2020-01-01T00:00:00Z", limit=20),
    ),
    "count": (lambda _: {"q": "-type:run_started"}, lambda reader, _: reader.count("-type:run_started")),
    "histogram": (
        lambda _: {"by": "day", "zone": "Asia/Tokyo"},
        lambda reader, _: reader.histogram(by="day", zone="Asia/Tokyo"),
    ),
    "facets": (
        lambda _: {"field": ["type", "outcome"], "limit": 3},
        lambda reader, _: reader.facets(fields=["type", "outcome"], limit=3),
    ),
    "search/oldest": (
        lambda _: {"order": "oldest", "by": "append", "limit": 10},
        lambda reader, _: reader.search(newest_first=False, by="append", limit=10),
    ),
    "runs": (
        lambda _: {"status": ["completed", "running"], "limit": 3},
        lambda reader, _: reader.runs(status=["completed", "running"], limit=3),
    ),
    "sessions": (lambda _: {"limit": 5}, lambda reader, _: reader.sessions(limit=5)),
    "usage": (
        lambda _: {"by": ["model", "day"], "zone": "Europe/Berlin"},
        lambda reader, _: reader.usage(by=["model", "day"], zone="Europe/Berlin"),
    ),
    "costs": (lambda _: {"by": "tenant"}, lambda reader, _: reader.costs(by="tenant")),
    "timeline": (
        lambda runs: {"session": runs[0][0]},
        lambda reader, runs: reader.timeline(runs[0][0], limit=5_000),
    ),
    "compare": (
        lambda runs: {"run_a": runs[0][1], "run_b": runs[1][1], "session_a": runs[0][0], "session_b": runs[1][0]},
        lambda reader, runs: reader.compare(
            runs[0][1], runs[1][1], session_a=runs[0][0], session_b=runs[1][0]
        ),
    ),
    "approvals": (lambda _: {}, lambda reader, _: reader.approvals()),
    "anomalies": (lambda _: {}, lambda reader, _: reader.anomalies()),
    "sql": (
        lambda _: {"statement": "SELECT type, count() AS n FROM events GROUP BY type ORDER BY type"},
        lambda reader, _: reader.sql("SELECT type, count() AS n FROM events GROUP BY type ORDER BY type"),
    ),
}  # fmt: skip


def answer_of(api: Api, name: str, params: dict[str, Any], header: dict[str, str]) -> Any:
    """Return what the API answers."""
    answer = api.client.get(f"/api/v1/{name.partition('/')[0]}", params=params, headers=header)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.long
@pytest.mark.parametrize("tenant", [*TENANTS, None])
@pytest.mark.parametrize("name", CASES)
def test_the_api_answers_as_python_does(
    api: Api,
    headers: dict[str | None, dict[str, str]],
    recorded: list[AuditEvent],
    recorded_database: ClickHouseConfig,
    name: str,
    tenant: str | None,
) -> None:
    """The same question has the same answer, to the digit; what differs is whom a cursor is sealed for."""
    params, ask = CASES[name]
    runs = runs_of(recorded, tenant)
    answer = answer_of(api, name, params(runs), headers[tenant])
    with AuditReader(tenant, config=recorded_database) as reader:
        expected = json.loads(encoded(ask(reader, runs)))
    for each in (answer, expected):
        each.pop("next", None)
        if name == "anomalies":  # how long a run has gone on by now differs
            each["value"] = each["value"]["counts"]
    assert answer == expected
    assert any(answer.get(part) for part in ("items", "value", "rows"))


def test_an_event_is_found_by_its_id_and_anothers_is_not(
    api: Api, headers: dict[str | None, dict[str, str]], recorded: list[AuditEvent]
) -> None:
    """Whole, to the byte; another tenant's is as unknown as one that nobody has."""
    ours = next(each for each in recorded if each.tenant_id == "acme")
    url = f"/api/v1/events/{ours.event_id}"
    found = api.client.get(url, headers=headers["acme"])
    of_others = api.client.get(url, headers=headers["globex"])
    of_nobody = api.client.get(f"/api/v1/events/{uuid.uuid4()}", headers=headers["globex"])
    assert found.status_code == 200
    assert ours.record in found.content
    assert (of_others.status_code, of_nobody.status_code) == (404, 404)
    assert of_others.content == of_nobody.content
    assert api.client.get("/api/v1/events/x", headers=headers["acme"]).status_code == 422


def test_every_operation_is_asked_here() -> None:
    """One more is one more case."""
    asked = {name.partition("/")[0] for name in CASES}
    assert asked | {"log", "follow", "export", "event"} == {each.name for each in OPERATIONS}


@pytest.mark.parametrize("name", ["search", "runs", "sessions"])
def test_a_walk_and_lines_hold_the_same(
    api: Api, headers: dict[str | None, dict[str, str]], name: str
) -> None:
    """Page by page, or all at once as lines: the same items in the same order, each once."""
    params: dict[str, Any] = {"limit": 7} if name != "search" else {"limit": 400}
    walked: list[Any] = []
    asked = dict(params)
    while True:
        page = answer_of(api, name, asked, headers["acme"])
        walked += page["items"]
        if page["next"] is None:
            break
        asked["cursor"] = page["next"]
    lines = api.client.get(
        f"/api/v1/{name}",
        params=params,
        headers={**headers["acme"], "Accept": "application/x-ndjson"},
    )
    *items, end = [json.loads(line) for line in lines.content.splitlines()]
    assert items == walked
    assert end["end"]["rows"] == len(walked) > len(page["items"])
    assert end["end"]["complete"] is True


@pytest.mark.parametrize(
    ("name", "of_others", "of_nobody"),
    [
        ("timeline", lambda runs: {"session": runs[0][0]}, {"session": "nobody's"}),
        ("timeline", lambda runs: {"run": runs[0][1]}, {"run": "nobody's"}),
        (
            "compare",
            lambda runs: {"run_a": runs[0][1], "run_b": runs[1][1]},
            {"run_a": "nobody's", "run_b": "nobody's too"},
        ),
    ],
)
def test_what_is_another_tenants_is_unknown(
    api: Api,
    headers: dict[str | None, dict[str, str]],
    recorded: list[AuditEvent],
    name: str,
    of_others: Callable[[list[tuple[str, str]]], dict[str, str]],
    of_nobody: dict[str, str],
) -> None:
    """The same status and body as for what nobody has."""
    theirs = runs_of(recorded, "globex")
    found = [
        api.client.get(f"/api/v1/{name}", params=params, headers=headers["acme"])
        for params in (of_others(theirs), of_nobody)
    ]
    assert [each.status_code for each in found] == [404, 404]
    assert found[0].content == found[1].content


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("search", {"q": "cots:>1"}, "is not a field"),
        ("search", {"q": '"open'}, "this quote is not closed"),
        ("search", {"since": "2026-11-01T00:00:00Z", "until": "2026-10-01T00:00:00Z"}, "since: must not be after"),
        ("runs", {"status": "finished"}, "status: must be one of"),
        ("usage", {"by": "colour"}, "by: must be one of"),
        ("usage", {"by": "day", "zone": "Mars/Phobos"}, "zone"),
        ("timeline", {}, "session"),
        ("sql", {"statement": "SELECT * FROM system.users"}, "another database"),
        ("sql", {"statement": "SELECT 1 FROM events SETTINGS max_threads = 1"}, "SETTINGS"),
        ("sql", {"statement": "SELECT * FROM url('http://x', CSV)"}, "url"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_named(
    api: Api,
    headers: dict[str | None, dict[str, str]],
    name: str,
    params: dict[str, str],
    says: str,
) -> None:
    """422, with field and rule, at this door as at every other."""
    answer = api.client.get(f"/api/v1/{name}", params=params, headers=headers[None])
    assert answer.status_code == 422
    assert says.lower() in answer.json()["detail"].lower()


def test_sql_needs_its_scope(api: Api) -> None:
    """A token that may read may not ask in SQL."""
    header = api.token("reader-only")
    answer = api.client.get("/api/v1/sql", params={"statement": "SELECT 1"}, headers=header)
    assert (answer.status_code, "scope sql" in answer.json()["detail"]) == (403, True)
