"""One question, five doors: Python, SQL, the command line, HTTP and MCP give one answer; storing again moves none."""

import asyncio
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp import Client

from airline_fleet import fleet, store_records
from api_scene import Api, an_api
from balancing import run_here
from cluster import Cluster
from door_erased import GONE, RUN, SESSION, TWIN, stood
from door_list import QUESTIONS
from door_questions import Asked, facts
from door_whole import WHOLE
from erasure_scene import scene_of
from trailhouse.access import ReadAudit
from trailhouse.access.json_form import encoded
from trailhouse.access.principal import this_user
from trailhouse.mcp.server import Tools
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.query import AlteredEvent, AuditReader
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = [pytest.mark.cluster, pytest.mark.long]

RESENT = 5
"""Every fifth record is sent again, and stands at another offset too."""
NO_COMMAND = ("count", "histogram", "facets", "costs")
"""Operations that the command line asks by `sql`."""


class Doors(NamedTuple):
    """The doors over one database; each returns an answer as JSON has it."""

    config: ClickHouseConfig
    api: Api
    tools: Tools
    reader: AuditReader

    def python(self, question: Asked) -> Any:
        """Return what the reader answers."""
        asked = dict(question.parameters)
        times = "".join(
            f" {name}:{asked.pop(name)}"
            for name in ("since", "until")
            if "q" in asked and name in asked
        )
        if "q" in asked:
            asked["wanted"] = asked.pop("q") + times
        return answer_of(json.loads(encoded(_METHODS[question.operation](self.reader, asked))))

    def http(self, question: Asked) -> Any:
        """Return what the HTTP API answers."""
        asked = dict(question.parameters)
        path = f"events/{asked.pop('id')}" if "id" in asked else question.operation
        response = self.api.client.get(f"/api/v1/{path}", params=asked)
        assert response.status_code == 200, response.text
        return answer_of(response.json())

    async def mcp(self, questions: Sequence[Asked]) -> list[Any]:
        """Return what the tools answer, to one client."""
        async with Client(self.tools.server()) as client:
            called = [await client.call_tool(each.operation, each.parameters) for each in questions]
        assert [each.content for each in called if each.is_error] == []
        return [answer_of(each.structured_content["answer"]) for each in called]

    def command(self, question: Asked) -> Any:
        """Return what the command prints; rows, where there is a statement alone."""
        done = run_here(
            *command_of(question), "--format", "json", settings=settings_of(self.config)
        )
        assert done.stdout, f"{command_of(question)}: {done.stderr!r}"
        return answer_of(json.loads(done.stdout))

    def sql(self, question: Asked) -> Any:
        """Return the rows of the question's statement."""
        return json.loads(encoded(self.reader.sql(question.sql, limit=1_000)))["rows"]


def _asked(name: str, reader: AuditReader, asked: dict[str, Any]) -> Any:
    return getattr(reader, name)(**asked)


def _log(reader: AuditReader, asked: dict[str, Any]) -> Any:
    since, until = (
        dt.datetime.fromisoformat(asked[name]) if name in asked else None
        for name in ("since", "until")
    )
    found = reader.get_audit_log(
        asked["session"],
        run_id=asked.get("run"),
        type=asked.get("type"),
        since=since,
        until=until,
        limit=asked["limit"],
    )
    return {"items": found}


_METHODS: Mapping[str, Callable[[AuditReader, dict[str, Any]], Any]] = {
    "search": lambda reader, asked: reader.search(
        asked["wanted"], newest_first=asked.get("order") != "oldest", by=asked.get("by", "occurred"),
        limit=asked["limit"],
    ),
    "event": lambda reader, asked: reader.get_event(asked["id"]),
    "facets": lambda reader, asked: reader.facets(
        asked["wanted"], fields=asked["field"], limit=asked["limit"]
    ),
    "log": _log,
    "timeline": lambda reader, asked: reader.timeline(
        asked["session"], run_id=asked.get("run"), limit=asked["limit"]
    ),
    "compare": lambda reader, asked: reader.compare(asked["run_a"], asked["run_b"]),
    **{
        name: partial(_asked, name)
        for name in (
            "count", "histogram", "runs", "sessions", "usage", "costs", "approvals", "anomalies",
        )
    },
}  # fmt: skip


def answer_of(answer: Any) -> Any:
    """Return the items or the value of an answer, without the moment at which it was looked for anomalies."""
    if isinstance(answer, list):
        return answer
    found = next(answer[name] for name in ("items", "rows", "value") if name in answer)
    return (
        {name: each for name, each in found.items() if name != "looked_at"}
        if isinstance(found, dict)
        else found
    )


def command_of(question: Asked) -> list[str]:
    """Return the command that asks *question*, as somebody would write it from the help."""
    asked, words = dict(question.parameters), [question.operation]
    if question.operation in NO_COMMAND:
        return ["sql", question.sql]
    if question.operation == "event":
        return ["show", asked["id"]]
    words += [asked.pop(name) for name in ("q", "run_a", "run_b") if asked.get(name)]
    if "session" in asked:
        words.append(asked.pop("session"))
    if asked.pop("order", "newest") == "oldest":
        words.append("--oldest-first")
    if asked.get("by") == "append":
        words.append("--by-append")
        del asked["by"]
    for name, given in asked.items():
        option = "--run-id" if (question.operation, name) == ("log", "run") else f"--{name}"
        words += [
            part
            for each in (given if isinstance(given, list) else [given])
            if each != ""
            for part in (option, str(each))
        ]
    return words


def settings_of(config: ClickHouseConfig) -> dict[str, str]:
    """Return the variables with which a command reads this database."""
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": config.url,
        "TRAILHOUSE_CLICKHOUSE_USER": config.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": config.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": config.database,
        "TRAILHOUSE_ACCESS_AUDIT_READS": "false",  # there is no Kafka here, which it would say
    }


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
        yield from _opened(config, folder)


def _opened(config: ClickHouseConfig, folder: Path) -> Generator[Doors]:
    with AuditReader(config=config) as reader, an_api(config, folder) as api:
        audit = ReadAudit("mcp", InMemoryAuditLogger())
        yield Doors(config, api, Tools(lambda _: this_user(None), lambda _: reader, audit), reader)


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
    with scene.storage, contextmanager(_opened)(database, tmp_path / "api") as doors:
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
