"""One question, five doors: Python, SQL, the command line, HTTP and MCP give one answer; storing again moves none."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from airline_fleet import fleet, store_records
from balancing import run_here
from cluster import Cluster
from door_erased import GONE, RUN, SESSION, TWIN, stood, stood_in_views
from door_list import QUESTIONS
from door_questions import Asked, facts
from door_whole import WHOLE
from doors import NO_COMMAND, Doors, opened_doors, settings_of
from erasure_scene import scene_of
from sealing_scene import Scene, judged
from trailhouse.query import AlteredEvent
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = [pytest.mark.cluster, pytest.mark.long]

RESENT = 5
"""Every fifth record is sent again, and stands at another offset too."""

RECORDS = [each.record for each in fleet()]


@pytest.fixture(scope="module")
def config(cluster: Cluster) -> ClickHouseConfig:
    """Return a database in which a fifth was sent again, and then all replayed."""
    config = cluster.clickhouse_config("trailhouse_doors")
    migrate(config)
    with ClickHouse(config) as clickhouse:
        store_records(clickhouse, RECORDS)
        store_records(clickhouse, RECORDS[::RESENT], first_offset=len(RECORDS))
        store_records(clickhouse, RECORDS)
        assert rows(clickhouse) > 2 * len(RECORDS), "expected copies that are not merged"
    return config


def rows(clickhouse: ClickHouse) -> int:
    """Return how many rows the log has, copies included."""
    return int(clickhouse.query("SELECT count() FROM event_log").rows[0][0])


@pytest.fixture(scope="module")
def doors(config: ClickHouseConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Open them over the database; what a spent budget leaves out is tested elsewhere."""
    folder: Path = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAILHOUSE_READER_BUDGET_SECONDS", "100")
        yield from opened_doors(config, folder)


def test_every_event_is_in_one_step_at_every_door(doors: Doors) -> None:
    """Timelines and comparisons, to the last step: what no statement says."""
    asked = {name: Asked(*each, sql="") for name, each in WHOLE.items()}
    tools = asyncio.run(doors.mcp(list(asked.values())))
    for (name, question), by_tool in zip(asked.items(), tools, strict=True):
        python = doors.python(question)
        assert question.told(python) == question.expected, f"{name}: Python"
        assert doors.http(question) == python, f"{name}: HTTP"
        assert by_tool == python, f"{name}: MCP"
        assert doors.command(question) == python, f"{name}: command line"


def test_a_follower_from_the_start_has_what_a_search_has(doors: Doors) -> None:
    """Each event once, though each is stored twice or thrice, and those of a session as Kafka took them; both doors."""
    records = sorted(RECORDS)
    found = []
    with doors.reader.follow(from_start=True) as follower:
        for each in follower:
            found.append(each.record)
            if len(found) == len(records):
                break
    done = run_here(
        *("follow", "--from-start", "--format", "jsonl", "--count", str(len(records))),
        settings=settings_of(doors.config),
    )
    places = {RECORDS[each.place]: (each.session, each.place) for each in facts()}
    for followed in (found, done.stdout.splitlines()):
        assert sorted(followed) == records
        in_session: dict[str, list[int]] = {}
        for record in followed:
            session, place = places[record]
            in_session.setdefault(session, []).append(place)
        assert all(each == sorted(each) for each in in_session.values())


def test_every_door_says_what_plain_python_says(doors: Doors) -> None:
    """Nearly a hundred answers are the same at five doors, and no resend, replay or merge moves one."""
    assert len(QUESTIONS) >= 81
    answers = {}
    tools = asyncio.run(doors.mcp(list(QUESTIONS.values())))
    for (name, question), by_tool in zip(QUESTIONS.items(), tools, strict=True):
        answers[name] = python = doors.python(question)
        assert question.told(python) == question.expected, f"{name}: Python"
        assert doors.sql(question) == question.expected, f"{name}: SQL"
        assert doors.http(question) == python, f"{name}: HTTP"
        assert by_tool == python, f"{name}: MCP"
        by_sql = question.operation in NO_COMMAND
        printed = question.expected if by_sql else python
        assert doors.command(question) == printed, f"{name}: command line"
    with ClickHouse(doors.config) as clickhouse:
        for table in ("event_log", "event_index", "event_usage"):
            clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
        assert rows(clickhouse) == len(RECORDS), "expected every copy to be merged away"
    for name, question in QUESTIONS.items():
        assert doors.python(question) == answers[name], f"{name}: moved by a merge"


ERASED: Mapping[str, dict[str, Any]] = {
    "search": {"q": f"session:{SESSION}", "limit": 50},
    "count": {"q": f"session:{SESSION}"},
    "usage": {"q": f"session:{SESSION}"},
    "facets": {"q": f"session:{SESSION}", "field": ["type", "agent"], "limit": 20},
    "runs": {"q": f"session:{SESSION}", "limit": 5},
    "sessions": {"q": f"session:{SESSION}", "limit": 5},
    "timeline": {"session": SESSION, "limit": 50},
    "compare": {"run_a": RUN, "run_b": RUN},
    "approvals": {"q": f"session:{SESSION}", "limit": 5},
    "event": {"id": TWIN},
}


def test_what_was_erased_stands_where_it_stood_at_every_door(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, without its text, in every count that docs/reads.md names; a walk by single entries comes to its end."""
    scene = scene_of(cluster, kafka, database, tmp_path, monkeypatch)
    records = [each.event.record for each in stood()]
    with scene.storage, contextmanager(opened_doors)(database, tmp_path / "api") as doors:
        scene.log.append(records)
        scene.log.append(records[::2])
        before = {
            name: doors.python(Asked(name, asked, None, str, "")) for name, asked in ERASED.items()
        }
        assert GONE in str(before)
        assert scene.erase("--text", GONE) == 0
        scene.log.append([stood()[2].event.record])
        asked = {name: Asked(name, each, None, str, "") for name, each in ERASED.items()}
        tools = asyncio.run(doors.mcp(list(asked.values())))
        found = {name: doors.python(each) for name, each in asked.items()}
        for (name, question), by_tool in zip(asked.items(), tools, strict=True):
            assert GONE not in str(found[name])
            assert doors.http(question) == found[name], f"{name}: HTTP"
            assert by_tool == found[name], f"{name}: MCP"
            if name not in NO_COMMAND:
                assert doors.command(question) == found[name], f"{name}: command line"
        _check_answers(found)
        _check_statements(doors)
        _check_entries(doors)
        whole = doors.reader.export(tmp_path / "exported", f"session:{SESSION}")
        erased = sum(each.is_erased for each in stood())
        assert (whole.rows, whole.erased, whole.altered) == (len(records) - erased, erased, 0)


def _check_answers(found: Mapping[str, Any]) -> None:
    events = stood()
    left = [each.event for each in events if not each.is_erased]
    assert [
        (each["event_id"], each["run_id"], each["event"] is None, "erased" in (each["problem"] or ""))
        for each in found["search"]
    ] == [
        (each.event.event_id, None if each.is_erased else RUN, each.is_erased, each.is_erased)
        for each in events[::-1]
    ]  # fmt: skip
    assert sorted(each["event"] is None for each in found["event"]) == [False, True]
    assert found["count"] == len(events) == found["sessions"][0]["events"]
    assert found["runs"][0]["events"] == len(left) == found["compare"]["a"]["events"]
    types = {each["value"]: each["events"] for each in found["facets"][0]["values"]}
    assert types == Counter(each.event.type for each in events)
    agents = {each["value"]: each["events"] for each in found["facets"][1]["values"]}
    assert agents == {None: len(events) - len(left), "agent-9": len(left)}
    increments = found["usage"]["total"]["increments"]
    assert (increments["events"], increments["unpriced_events"]) == (2, 1)
    assert (increments["cost_usd"], increments["input_tokens"]) == ("0.25", 4)
    steps = [step for run in found["timeline"]["runs"] for step in run["steps"]]
    assert sorted(each for step in steps for each in step["event_ids"]) == sorted(
        each.event.event_id for each in events
    )
    assert [(each["status"], each["tool_call_id"]) for each in found["approvals"]["approvals"]] == [
        ("granted", None), ("open", None),
    ]  # fmt: skip


def _check_statements(doors: Doors) -> None:
    """Hold the views against what stood there: an erased event is of its session alone, and of no run or call."""
    for statement, expected in stood_in_views().items():
        assert list(doors.reader.sql(statement).rows) == expected, statement


def _check_entries(doors: Doors) -> None:
    """Hold the log of the session, and a follower, against what stood there."""
    events = stood()
    entries: list[dict[str, Any]] = []
    cursor = ""
    while len(entries) <= len(events):
        page = doors.api.client.get(
            "/api/v1/log",
            params={"session": SESSION, "limit": "1", **({"cursor": cursor} if cursor else {})},
        ).json()
        entries += page["items"]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert [
        (each.get("altered", each)["event_id"], each.get("altered", {}).get("erased_by"))
        for each in entries
    ] == [(each.event.event_id, 1 if each.is_erased else None) for each in events]
    left = [each.event for each in events if not each.is_erased]
    assert doors.reader.get_audit_log(SESSION) == left
    printed = doors.command(Asked("log", {"session": SESSION}, None, str, ""))
    assert [each["event_id"] for each in printed] == [each.event_id for each in left]
    with doors.reader.follow(f"session:{SESSION}", from_start=True) as follower:
        followed = list(islice(follower, len(events)))
    assert [(each.event_id, isinstance(each, AlteredEvent)) for each in followed] == [
        (each.event.event_id, each.is_erased) for each in events
    ]


STANDINGS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "a log": ("log", {"session": "s", "limit": 50}),
    "a session": ("timeline", {"session": "s", "limit": 50}),
    "a run of whatever session": ("timeline", {"run": "run-1", "limit": 50}),
    "a run of two sessions and tenants": ("compare", {"run_a": "run-1", "run_b": "run-1"}),
}


def test_every_door_takes_the_standing_of_what_it_looks_at(
    database: ClickHouseConfig, tmp_path: Path
) -> None:
    """What is asked of attested events alone is answered as if no stranger had written, at every door."""
    with (
        ClickHouse(database) as clickhouse,
        contextmanager(opened_doors)(database, tmp_path) as doors,
    ):
        scene = Scene(clickhouse)
        scene.topic.append(scene.logger.events)
        judged(clickhouse, scene.policy)
        alone = {
            name: doors.python(Asked(operation, asked, None, str, ""))
            for name, (operation, asked) in STANDINGS.items()
        }
        scene.topic.append(scene.forgeries())
        judged(clickhouse, scene.policy)
        for name, (operation, asked) in STANDINGS.items():
            _agree(doors, name, operation, {**asked, "standing": ["attested"]}, alone[name])
        several = {
            "run_a": "run-1",
            "run_b": "run-1",
            "session_a": "s",
            "session_b": "s",
            "tenant_a": "acme",
        }
        both = _agree(
            doors,
            "two",
            "compare",
            several | {"tenant_b": "acme", "standing": ["attested", "disputed"]},
        )
        assert both["a"]["events"] > alone["a run of two sessions and tenants"]["a"]["events"]
        refused = doors.api.client.get("/api/v1/compare", params={**several, "standing": "best"})
        assert (refused.status_code, "standing: must be one of" in refused.text) == (422, True)
        wrong = doors.run("compare", "run-1", "run-1", "--standing", "best")
        assert (wrong.returncode, b"standing" in wrong.stderr) == (2, True)


def test_the_run_without_a_tenant_is_compared_at_every_door(
    database: ClickHouseConfig, tmp_path: Path
) -> None:
    """An empty tenant is the run without one; where none is named and several have it, each door says how to."""
    records = [
        AuditEvent(type=each, session_id="s", run_id="same", tenant_id=tenant, data={"of": tenant or ""}).record
        for tenant, types in ((None, 2), ("t-1", 3), ("t-2", 4))
        for each in ("run_started", "run_failed", "step_started", "step_completed")[:types]
    ]  # fmt: skip
    with (
        ClickHouse(database) as clickhouse,
        contextmanager(opened_doors)(database, tmp_path) as doors,
    ):
        store_records(clickhouse, records)
        runs = {"run_a": "same", "run_b": "same", "session_a": "s"}
        for tenants, expected in (
            (("", "t-2"), [(None, 2), ("t-2", 4)]),
            (("t-1", ""), [("t-1", 3), (None, 2)]),
            (("", ""), [(None, 2), (None, 2)]),
        ):
            asked = runs | dict(zip(("tenant_a", "tenant_b"), tenants, strict=True))
            found = _agree(doors, str(tenants), "compare", asked)
            assert [(found[side]["tenant_id"], found[side]["events"]) for side in "ab"] == expected
        refused = doors.api.client.get("/api/v1/compare", params=runs | {"tenant_b": ""})
        assert (refused.status_code, "tenant_a, --tenant-a; empty: " in refused.text) == (422, True)


def _agree(
    doors: Doors, name: str, operation: str, parameters: dict[str, Any], expected: Any = None
) -> Any:
    """Return what four doors answer alike to what no statement says."""
    asked = Asked(operation, parameters, None, str, "")
    python = doors.python(asked)
    assert expected in (None, python), f"{name}: Python"
    [by_tool] = asyncio.run(doors.mcp([asked]))
    assert doors.http(asked) == python, f"{name}: HTTP"
    assert by_tool == python, f"{name}: MCP"
    assert doors.command(asked) == python, f"{name}: command line"
    return python
