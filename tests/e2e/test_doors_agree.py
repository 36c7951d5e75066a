"""One question, five doors: Python, SQL, the command line, HTTP and MCP give one answer; storing again moves none."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mcp import Client

from airline_fleet import fleet, store_fleet
from api_scene import Api, an_api
from balancing import run_here
from cluster import Cluster
from trailhouse.access import ReadAudit
from trailhouse.access.json_form import encoded
from trailhouse.access.principal import this_user
from trailhouse.mcp.server import Tools
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.query import AuditReader
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import migrate

pytestmark = pytest.mark.cluster

EVENTS = fleet()[:1_200]
SESSION = EVENTS[0].session_id
RUNS = [str(each) for each in dict.fromkeys(each.run_id for each in EVENTS if each.run_id)]
BEGAN = "2020-01-01T00:00:00Z"
Ask = Callable[[AuditReader], Any]


class Asked(NamedTuple):
    """One question in the words of each door; SQL's answer is that of `same` on any other's."""

    operation: str
    parameters: dict[str, Any]
    command: tuple[str, ...]
    ask: Ask
    sql: str = ""
    same: Callable[[Any], Any] = list


def ids(answer: Any) -> list[list[Any]]:
    """Return the ids of the events of a page, sorted."""
    return sorted([each["event"]["event_id"]] for each in answer["items"])


QUESTIONS = {
    "what a session did": Asked(
        "log", {"session": SESSION, "limit": 100}, ("log", SESSION),
        lambda reader: {"items": reader.get_audit_log(SESSION)},
        f"SELECT toString(event_id) FROM events WHERE session_id = '{SESSION}' ORDER BY kafka_offset",
        lambda answer: [[each["event_id"]] for each in answer["items"]],
    ),
    "which runs failed": Asked(
        "search", {"q": "type:run_failed", "since": BEGAN, "limit": 100},
        ("search", "type:run_failed", "--since", BEGAN, "--limit", "100"),
        lambda reader: reader.search(f"type:run_failed since:{BEGAN}", limit=100),
        "SELECT toString(event_id) FROM events WHERE type = 'run_failed' ORDER BY toString(event_id)",
        ids,
    ),
    "events of a tool that failed, by text": Asked(
        "search", {"q": 'type:tool_call_failed "error"', "since": BEGAN, "limit": 100},
        ("search", "type:tool_call_failed", '"error"', "--since", BEGAN, "--limit", "100"),
        lambda reader: reader.search(f'type:tool_call_failed "error" since:{BEGAN}', limit=100),
    ),
    "runs that failed": Asked(
        "runs", {"status": "failed", "limit": 100}, ("runs", "--status", "failed", "--limit", "100"),
        lambda reader: reader.runs(status="failed", limit=100),
        "SELECT run_id FROM runs WHERE status = 'failed' ORDER BY run_id",
        lambda answer: sorted([each["run_id"]] for each in answer["items"]),
    ),
    "sessions": Asked(
        "sessions", {"limit": 100}, ("sessions", "--limit", "100"), lambda reader: reader.sessions(limit=100),
        "SELECT tenant_id, session_id FROM sessions ORDER BY tenant_id, session_id",
        lambda answer: sorted([each["tenant_id"] or "", each["session_id"]] for each in answer["items"]),
    ),
    "what agents cost": Asked(
        "usage", {"by": ["agent", "model"]}, ("usage", "--by", "agent", "--by", "model"),
        lambda reader: reader.usage(by=["agent", "model"]),
    ),
    "steps of a session": Asked(
        "timeline", {"session": SESSION, "limit": 500}, ("timeline", SESSION, "--limit", "500"),
        lambda reader: reader.timeline(SESSION, limit=500),
    ),
    "how two runs differ": Asked(
        "compare", {"run_a": RUNS[0], "run_b": RUNS[1]}, ("compare", RUNS[0], RUNS[1]),
        lambda reader: reader.compare(RUNS[0], RUNS[1]),
    ),
    "who approved what": Asked(
        "approvals", {"limit": 100}, ("approvals", "--limit", "100"), lambda reader: reader.approvals(limit=100)
    ),
}  # fmt: skip


class Doors(NamedTuple):
    """The doors over one database; each returns an answer as JSON has it."""

    config: ClickHouseConfig
    api: Api
    tools: Tools

    def answers(self, question: Asked) -> dict[str, Any]:
        """Return what each door but SQL answers, without what differs by right: the cursor, sealed for a principal."""
        with AuditReader(config=self.config) as reader:
            python = json.loads(encoded(question.ask(reader)))
        http = self.api.client.get(
            f"/api/v1/{question.operation}", params=question.parameters
        ).json()
        mcp = asyncio.run(self._called(question))
        command = run_here(*question.command, "--format", "json", settings=settings_of(self.config))
        printed = json.loads(command.stdout)
        shell = {"items": printed} if isinstance(printed, list) else printed
        answers = {"Python": python, "HTTP": http, "MCP": mcp, "command line": shell}
        return {
            name: answer.get("items", answer.get("value")) for name, answer in answers.items()
        } | {"whole": python}

    async def _called(self, question: Asked) -> Any:
        async with Client(self.tools.server()) as client:
            result = await client.call_tool(question.operation, question.parameters)
        assert not result.is_error, result.content
        return result.structured_content["answer"]


def settings_of(config: ClickHouseConfig) -> dict[str, str]:
    """Return the variables with which a command reads this database."""
    return {
        "TRAILHOUSE_CLICKHOUSE_URL": config.url,
        "TRAILHOUSE_CLICKHOUSE_USER": config.user,
        "TRAILHOUSE_CLICKHOUSE_PASSWORD": config.password,
        "TRAILHOUSE_CLICKHOUSE_DATABASE": config.database,
    }


@pytest.fixture(scope="module")
def doors(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Open them over a fleet's log; a third of it is stored twice."""
    config = cluster.clickhouse_config("trailhouse_doors")
    migrate(config)
    store_fleet(config, EVENTS)
    folder: Path = tmp_path_factory.mktemp("api")
    with AuditReader(config=config) as reader, an_api(config, folder) as api:
        audit = ReadAudit("mcp", InMemoryAuditLogger())
        yield Doors(config, api, Tools(lambda _: this_user(None), lambda _: reader, audit))


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_door_gives_the_same_answer_also_when_all_is_stored_again(
    doors: Doors, name: str
) -> None:
    """Python, the command line, HTTP and MCP answer alike, SQL agrees; a replay and a merge move nothing."""
    question = QUESTIONS[name]
    before = doors.answers(question)
    whole = before.pop("whole")
    assert before["Python"], "expected an answer that is not empty"
    for door, answer in before.items():
        assert answer == before["Python"], f"{door} answers otherwise than Python"
    with ClickHouse(doors.config) as store, AuditReader(config=doors.config) as reader:
        if question.sql:
            rows = [list(row) for row in reader.sql(question.sql, limit=10_000).rows]
            assert rows == question.same(whole)
        store.command("INSERT INTO event_log SELECT * FROM event_log")
        again = doors.answers(question)
        store.command("OPTIMIZE TABLE event_index FINAL")
        assert again.pop("whole") is not None
        assert again == before, "expected no answer to move when events are stored again"
        assert json.loads(encoded(question.ask(reader))).get("items") == whole.get("items")
