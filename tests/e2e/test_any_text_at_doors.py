"""Whatever text stands in an event or a question is data at every door: it finds its own event, and forges nothing."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent

from airline_fleet import START, store_records
from doors import Doors, opened_doors
from hostile_texts import HOSTILE_TEXTS
from trailhouse.query import Condition, SearchFilter, render
from trailhouse.schemas import Actor, AuditEvent
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def event_of(place: int, text: str) -> AuditEvent:
    """Return an event that has *text* in every field there is, and as a key."""
    return AuditEvent(
        type="tool_call_started", session_id=f"hostile {text}", event_id=str(uuid.UUID(int=place + 1)),
        occurred_at=START, tenant_id=text, run_id=text, parent_run_id=text, agent_id=text, provider=text,
        correlation_id=text, trace_id=text, actor=Actor(type=text, id=text), metadata={"note": text},
        data={
            **dict.fromkeys(("model", "tool_name", "tool_call_id", "error_code", "content", "role"), text),
            "said": {text: [text]},
        },
    )  # fmt: skip


EVENTS = tuple(event_of(place, text) for place, text in enumerate(HOSTILE_TEXTS))


@pytest.fixture
def doors(database: ClickHouseConfig, tmp_path: Path) -> Iterator[Doors]:
    """Open the doors over the events."""
    with ClickHouse(database) as clickhouse:
        store_records(clickhouse, [each.record for each in EVENTS])
    with contextmanager(opened_doors)(database, tmp_path) as opened:
        yield opened


def of_agent(text: str) -> str:
    """Return the filter for events of that agent."""
    return render(SearchFilter(conditions=(Condition(field="agent", values=(text,)),)))


def in_sql(text: str) -> str:
    """Return the statement for the ids of events of that agent."""
    literal = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"SELECT toString(event_id) FROM events WHERE agent_id = '{literal}'"


def test_any_text_is_data_at_every_door(doors: Doors) -> None:
    """Some three hundred texts in every field of as many events; beside each, one that nobody has."""
    assert len(EVENTS) >= 229
    for event in EVENTS:
        text = event.agent_id or ""
        for door, found in found_by(doors, text).items():
            assert found == [event.event_id], f"{door}: {text!r}"
        assert doors.reader.search(of_agent(f"{text}\u00b7")).items == ()
        http = doors.api.client.get("/api/v1/log", params={"session": event.session_id})
        assert event.record in http.content, f"{text!r}"
        missing = doors.api.client.get(
            "/api/v1/log", params={"session": f"{event.session_id}\u00b7"}
        )
        assert missing.status_code == 404


def found_by(doors: Doors, text: str) -> dict[str, list[str]]:
    """Return the ids of the events of that agent, by door."""
    q = of_agent(text)
    http = doors.api.client.get("/api/v1/search", params={"q": q})
    printed = doors.run("search", q, "--format", "json")
    assert printed.returncode == 0, f"{text!r}: {printed.stderr!r}"
    return {
        "Python": [each.event_id or "" for each in doors.reader.search(q).items],
        "HTTP": ids(json.loads(http.content)["items"]),
        "SQL": [row[0] for row in doors.reader.sql(in_sql(text)).rows],
        "command line": ids(json.loads(printed.stdout)["items"]),
    }


def ids(items: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the events."""
    return [each["event_id"] for each in items]


def test_a_tool_is_exact_and_shows_nothing_unseen(doors: Doors) -> None:
    """The structured answer is the record; in the text all that a person cannot see is an escape."""
    asyncio.run(_check_tools(doors))


async def _check_tools(doors: Doors) -> None:
    async with Client(doors.tools.server()) as client:
        for event in EVENTS:
            called = await client.call_tool("log", {"session": event.session_id})
            assert called.structured_content["answer"]["items"] == [json.loads(event.record)]
            text = "".join(each.text for each in called.content if isinstance(each, TextContent))
            assert all(part.isprintable() for part in text.split("\n")), f"{event.agent_id!r}"


def test_a_table_has_a_line_for_each_of_them(doors: Doors) -> None:
    """Nothing that is stored adds one, takes one away, or says anything to a terminal."""
    for command in ("search", "runs", "sessions"):
        done = doors.run(command, "--limit", "1000")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.decode().splitlines()
        assert len(lines) == len(EVENTS) + 1, command
        assert all(line.isprintable() for line in lines), command
    done = doors.run("export", "--to", "-", "--format", "jsonl")
    assert sorted(done.stdout.split(b"\n")[:-1]) == sorted(each.record for each in EVENTS)
