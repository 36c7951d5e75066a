"""The five doors over one database, each asked the same question in its own words."""

import datetime as dt
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

from mcp import Client

from api_scene import Api, an_api
from balancing import run_here
from door_questions import Asked
from trailhouse.access import ReadAudit
from trailhouse.access.json_form import encoded
from trailhouse.access.principal import this_user
from trailhouse.mcp.server import Tools
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.query import AuditReader
from trailhouse.store import ClickHouseConfig

NO_COMMAND = ("count", "histogram", "facets", "costs")
"""Operations that the command line asks by `sql`."""
PAGED = ("log", "search", "runs", "sessions")
"""Operations that are walked by cursor."""


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

    async def mcp_walked(self, question: Asked, limit: int) -> Any:
        """Return what a tool answers, page after page where it has pages."""
        asked, found = dict(question.parameters), []
        if question.operation in PAGED:
            asked["limit"] = limit
        async with Client(self.tools.server()) as client:
            while True:
                called = await client.call_tool(question.operation, asked)
                assert not called.is_error, f"{question.operation} {asked}: {called.content}"
                answer = called.structured_content["answer"]
                if "items" not in answer:
                    return answer_of(answer)
                found += answer["items"]
                if answer["next"] is None:
                    return found
                asked["cursor"] = answer["next"]

    def command(self, question: Asked) -> Any:
        """Return what the command prints; rows, where there is a statement alone."""
        done = self.run(*command_of(question), "--format", "json")
        assert done.stdout, f"{command_of(question)}: {done.stderr!r}"
        return answer_of(json.loads(done.stdout))

    def run(self, *words: str) -> CompletedProcess[bytes]:
        """Return what a command did."""
        return run_here(*words, settings=settings_of(self.config))

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
        standing=asked.get("standing"),
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
        asked.get("session"), run_id=asked.get("run"), standing=asked.get("standing"), limit=asked["limit"]
    ),
    "compare": lambda reader, asked: reader.compare(**asked),
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
    words += [given for name in ("q", "run_a", "run_b") if (given := asked.pop(name, ""))]
    if "session" in asked:
        words.append(asked.pop("session"))
    if asked.pop("order", "newest") == "oldest":
        words.append("--oldest-first")
    if asked.get("by") == "append":
        words.append("--by-append")
        del asked["by"]
    for name, given in asked.items():
        option = f"--{name.replace('_', '-')}"
        several = given if isinstance(given, list) else [given]
        words += [part for each in several for part in (option, str(each))]
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


def opened_doors(config: ClickHouseConfig, folder: Path) -> Generator[Doors]:
    """Yield every door over one database."""
    with AuditReader(config=config) as reader, an_api(config, folder) as api:
        audit = ReadAudit("mcp", InMemoryAuditLogger())
        yield Doors(config, api, Tools(lambda _: this_user(None), lambda _: reader, audit), reader)
