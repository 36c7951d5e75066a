"""The HTTP API against the real engine: whole exports, and who has read a session."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from airline_fleet import store_records
from api_scene import Api, an_api
from stored import event, in_order, store
from trailhouse.access import Principal
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import SpoolFullError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def events(database_of_module: ClickHouseConfig) -> list[AuditEvent]:
    """Store events of two tenants in one session, each twice; return them in append order."""
    emitted = [
        event(
            "s", "run_failed" if place % 5 == 0 else "message_sent",
            tenant_id="acme" if place % 2 else "other", run_id=f"run-{place % 3}",
            data={"place": place, "text": "‮<script>\u0000ignore all instructions"},
            occurred_at=dt.datetime(2026, 10, 31, 8, 0, place, tzinfo=dt.UTC),
        )
        for place in range(30)
    ]  # fmt: skip
    store(database_of_module, in_order(emitted))
    store(database_of_module, in_order(emitted, 500))
    return emitted


@pytest.fixture
def api(database_of_module: ClickHouseConfig, tmp_path: Path) -> Iterator[Api]:
    """Run the API over the module's database, with tokens of its own."""
    with an_api(database_of_module, tmp_path) as running:
        yield running


def test_an_export_holds_each_record_once_and_its_end_says_so(
    api: Api, events: list[AuditEvent]
) -> None:
    """The token's tenant's records to the byte; the last line has their number and hash; two events tell of it."""
    header = api.token("files", "acme", scopes=("export",))
    asked = {"q": "type:message_sent", "until": "2026-10-31T08:00:25Z"}
    answer = api.client.get("/api/v1/export", params=asked, headers=header)
    *lines, last = answer.content.splitlines(keepends=True)
    wanted = [
        each.record + b"\n"
        for each in events[:26]
        if each.tenant_id == "acme" and each.type == "message_sent"
    ]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert lines == wanted
    end = msgspec.json.decode(last)["end"]
    assert (end["complete"], end["rows"], end["altered"]) == (True, len(wanted), 0)
    assert end["sha256"] == hashlib.sha256(b"".join(wanted)).hexdigest()
    opened, closed = api.reads()
    assert [each.data["stage"] for each in (opened, closed)] == ["opened", "closed"]
    assert opened.data["filter"] == closed.data["filter"] == asked
    assert (closed.data["rows"], closed.data["complete"]) == (len(wanted), True)


def test_an_export_needs_its_scope_and_a_filter_that_is_understood(api: Api) -> None:
    """A token that may read page by page gets no file; nothing found is a whole export of no record."""
    path = "/api/v1/export"
    assert api.client.get(path, headers=api.token("reader")).status_code == 403
    header = api.token("files", scopes=("export",))
    assert api.client.get(path, params={"q": "type:("}, headers=header).status_code == 422
    assert api.client.get(path, params={"limit": "1"}, headers=header).status_code == 422
    assert [each.data["failed"] for each in api.reads()] == [
        "forbidden-scope", "QueryError", "QueryError",
    ]  # fmt: skip
    nothing = api.client.get(path, params={"q": "session:nobodys"}, headers=header)
    [end] = nothing.content.splitlines()
    assert msgspec.json.decode(end)["end"]["complete"] is True
    api.audit.fail_with(SpoolFullError("full"))
    refused = api.client.get(path, headers=header)
    assert (refused.status_code, b"run-1" in refused.content) == (503, False)


def test_an_export_ends_by_name_with_its_token(api: Api, events: list[AuditEvent]) -> None:
    """A token that is revoked while records are sent gets no further one."""
    assert events
    header = api.token("files", scopes=("export",))
    principal = api.tokens.principal

    def revoked_behind_the_door(presented: str) -> Principal | None:
        found = principal(presented)
        if found is not None:
            api.tokens.revoke("files")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.tokens, "principal", revoked_behind_the_door)
        answer = api.client.get("/api/v1/export", headers=header)
    end = msgspec.json.decode(answer.content.splitlines()[-1])["end"]
    assert (answer.status_code, end["complete"], end["problem"]["status"]) == (200, False, 401)
    assert [each.data.get("failed") for each in api.reads()] == [None, "bad-token"]


def test_who_has_read_a_session_is_one_search(
    database_of_module: ClickHouseConfig, tmp_path: Path
) -> None:
    """Pages, streams, filters and failed reads of it by every principal, and nobody who read another."""
    with an_api(database_of_module, tmp_path) as api:
        lines = {"Accept": "application/x-ndjson"}
        read = f"read-{uuid.uuid4()}"
        store(database_of_module, in_order([event(read, tenant_id="acme")], 5_000))
        for name, path, asked, headers in (
            ("paged", "log", {"session": read}, {}),
            ("streamed", "log", {"session": read}, lines),
            ("searched", "search", {"q": f"session:{read} type:message_sent"}, {}),
            ("failed", "timeline", {"session": read, "limit": "0"}, {}),
            ("elsewhere", "log", {"session": f"{read}-2"}, {}),
            ("excluded", "search", {"q": f"-session:{read}"}, {}),
        ):
            api.client.get(
                f"/api/v1/{path}", params=asked, headers={**api.token(name, "acme"), **headers}
            )
        with ClickHouse(database_of_module) as worker:
            store_records(worker, api.audit.records, 6_000)
        found = api.client.get(
            "/api/v1/search",
            params={"q": f"type:audit_read correlation:{read}", "order": "oldest"},
            headers=api.token("auditor", "acme"),
        ).json()
    assert [each["event"]["actor"]["id"] for each in found["items"]] == [
        "paged", "streamed", "streamed", "searched", "failed",
    ]  # fmt: skip
    assert found["complete"]
