"""The HTTP API against the real engine: the reader's answers, and nothing of another tenant's."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from api_scene import Api, an_api
from stored import event, in_order, store
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import SpoolFullError
from trailhouse.store import ClickHouseConfig

pytestmark = pytest.mark.cluster

SESSION = "airline/07 ?&%#\"'`\\\n\t✈"
LOG = "/api/v1/log"


@pytest.fixture(scope="module")
def events(database_of_module: ClickHouseConfig) -> list[AuditEvent]:
    """Store events of two tenants in one session, each twice; return them in append order."""
    emitted = [
        event(
            SESSION, "run_failed" if place % 5 == 0 else "message_sent",
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


def records(body: bytes) -> list[bytes]:
    """Return the items of a page, to the byte."""
    items = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["items"]
    return [bytes(each) for each in msgspec.json.decode(items, type=list[msgspec.Raw])]


def test_a_session_is_read_as_it_was_emitted(api: Api, events: list[AuditEvent]) -> None:
    """Each event once, in order, to the last byte, whatever characters its session's name has."""
    answer = api.client.get(LOG, params={"session": SESSION}, headers=api.token("all"))

    assert answer.status_code == 200
    assert records(answer.content) == [each.record for each in events]
    assert (answer.json()["complete"], answer.json()["left_out"]) == (True, [])
    assert answer.headers["cache-control"] == "no-store"


def test_filters_are_those_of_the_reader(api: Api, events: list[AuditEvent]) -> None:
    """Run, several types and times narrow together; a cursor goes on behind each page."""
    everything = {"session": SESSION, "run": "run-0", "type": ["run_failed", "nothing"]}
    times = {"since": "2026-10-31T10:00:05+02:00", "until": "2026-10-31T08:00:20.000000Z"}
    wanted = [
        each
        for place, each in enumerate(events)
        if place % 3 == 0 and place % 5 == 0 and 5 <= place <= 20
    ]
    header = api.token("all")

    answer = api.client.get(LOG, params={**everything, **times}, headers=header)
    assert records(answer.content) == [each.record for each in wanted]
    asked, places = {"session": SESSION, "limit": "7"}, []
    while True:
        page = api.client.get(LOG, params=asked, headers=header).json()
        places += [each["data"]["place"] for each in page["items"]]
        if page["next"] is None:
            break
        asked["cursor"] = page["next"]
    assert places == list(range(30))


def test_lines_are_the_same_events_and_end_with_their_number(
    api: Api, events: list[AuditEvent]
) -> None:
    """JSON lines hold one record a line, and the last line says that nothing is missing."""
    header = {**api.token("all"), "Accept": "application/x-ndjson"}
    answer = api.client.get(LOG, params={"session": SESSION}, headers=header)
    *lines, end = answer.content.splitlines()

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert lines == [each.record for each in events]
    assert msgspec.json.decode(end) == {
        "end": {"complete": True, "rows": 30, "left_out": [], "as_of": {}}
    }
    assert [each.data["stage"] for each in api.reads()] == ["opened", "closed"]


def test_a_token_opens_one_tenant(api: Api, events: list[AuditEvent]) -> None:
    """Whatever is asked, nothing of another tenant's comes."""
    answer = api.client.get(LOG, params={"session": SESSION}, headers=api.token("one", "acme"))
    assert records(answer.content) == [each.record for each in events if each.tenant_id == "acme"]


def test_another_tenants_session_is_as_unknown_as_one_that_nobody_has(api: Api) -> None:
    """The same status, headers and body, so that nobody learns which names there are."""
    header = api.token("third", "third")
    of_others = api.client.get(LOG, params={"session": SESSION}, headers=header)
    of_nobody = api.client.get(LOG, params={"session": "no such session"}, headers=header)

    assert of_others.status_code == of_nobody.status_code == 404
    assert of_others.content == of_nobody.content
    assert of_others.headers == of_nobody.headers
    assert of_others.json()["type"] == "urn:trailhouse:problem:not-found"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "session: is missing"),
        ("session=s&limit=0", "limit: must be from 1 to 10000"),
        ("session=s&limit=-1", "limit: must be a whole number"),
        ("session=s&limit=1e3", "limit: must be a whole number"),
        ("session=s&limit=%D9%A1", "limit: must be a whole number"),
        ("session=s&since=2026-10-31", "since: must be a time"),
        ("session=s&since=2026-10-31T08:00:00", "since: must be a time"),
        ("session=s&since=yesterday", "since: must be a time"),
        ("session=s&until=9999-12-31T23:59:59-14:00", "until: must be a time"),
        ("session=s&session=t", "session: is given twice"),
        ("session=s&tenant=acme", "tenant: is not a parameter"),
        ("session=s&%00%1b%5b31m=1", r"\x00\x1b[31m: is not a parameter"),
        ("session=%ff", "must be UTF-8"),
        ("session=" + "x" * 5_000, "session: is too long"),
        ("session=s&" + "&".join(["type=a"] * 101), "type: must be 1 to 100 values"),
        ("&".join(["type=a"] * 300), "at most 200 parameters"),
    ],
)
def test_a_bad_parameter_is_named_with_its_rule(api: Api, query: str, names: str) -> None:
    """Nothing is guessed: field, rule, and what is allowed, as problem details."""
    answer = api.client.get(f"{LOG}?{query}", headers=api.token("all"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:trailhouse:problem:bad-question"
    assert names in answer.json()["detail"]
    assert [each.data["failed"] for each in api.reads()] == ["QueryError"]


def test_a_cursor_is_good_for_its_question_and_principal_alone(
    api: Api, events: list[AuditEvent]
) -> None:
    """Altered, or presented with another question or token, it is 400, and says which."""
    assert events
    one, two = api.token("one"), api.token("two")
    asked = {"session": SESSION, "limit": "5"}
    cursor = api.client.get(LOG, params=asked, headers=one).json()["next"]
    middle = len(cursor) // 2
    altered = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for header, more, says in (
        (one, {"cursor": altered}, "altered"),
        (one, {"cursor": "x"}, "not a cursor"),
        (two, {"cursor": cursor}, "principal"),
        (one, {"cursor": cursor, "run": "run-1"}, "query"),
        (one, {"cursor": cursor, "session": "other"}, "query"),
        (api.token("three", "acme"), {"cursor": cursor}, "tenant"),
    ):
        answer = api.client.get(LOG, params={**asked, **more}, headers=header)
        assert (answer.status_code, answer.json()["type"]) == (
            400,
            "urn:trailhouse:problem:bad-cursor",
        )
        assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    "session",
    ["' OR 1=1 --", "%", "*", "airline/07%", "\x00", "{session_id:String}", "airline\\", "x; DROP TABLE event_log",
     "\u202e", "١٢", "", "'" * 4_000],
)  # fmt: skip
def test_any_text_is_a_value(api: Api, session: str) -> None:
    """SQL, wildcards, NUL and anything else is compared, and finds the equal or nothing."""
    answer = api.client.get(LOG, params={"session": session}, headers=api.token("all"))
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer thr_x_y"},
     {"Authorization": "Basic dGhyOng="}, {"Authorization": "Bearer " + "a" * 9_000}, {"Cookie": "token=thr"}],
)  # fmt: skip
def test_without_a_good_token_nothing_is_answered(api: Api, header: dict[str, str]) -> None:
    """401 with the way in, whatever is asked for, whether it exists or not."""
    api.token("all")
    for path in (LOG, "/api/v1/nothing", "/api/", "/mcp"):
        answer = api.client.get(path, params={"session": SESSION}, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:trailhouse:problem:bad-token"
    assert api.reads() == []


def test_a_revoked_token_is_refused_with_the_next_request(api: Api) -> None:
    """A running server does not go on with what it knew."""
    header = api.token("brief")
    assert api.client.get(LOG, params={"session": SESSION}, headers=header).status_code == 200
    api.tokens.revoke("brief")
    assert api.client.get(LOG, params={"session": SESSION}, headers=header).status_code == 401


def test_a_token_without_the_scope_opens_nothing(api: Api) -> None:
    """403, and what the question needs."""
    answer = api.client.get(
        LOG, params={"session": SESSION}, headers=api.token("sql", scopes=("sql",))
    )
    assert answer.status_code == 403
    assert "scope read" in answer.json()["detail"]
    [refused] = api.reads()
    assert (refused.data["failed"], refused.data["rows"]) == ("forbidden-scope", 0)


def test_without_any_token_this_machine_alone_may_read(api: Api) -> None:
    """A page of the web cannot read by way of the browser: it has to name another host, or its origin."""
    asked = {"session": SESSION}
    assert api.client.get(LOG, params=asked).status_code == 200
    for headers in (
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8420"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        answer = api.client.get(LOG, params=asked, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (421, 421)
    assert api.client.get(LOG, params=asked, headers={"Host": "127.0.0.1:8420"}).status_code == 200


def test_the_first_token_closes_the_door(api: Api) -> None:
    """From then on a token is needed, also once it is revoked again."""
    api.token("first")
    assert api.client.get(LOG, params={"session": SESSION}).status_code == 401
    api.tokens.revoke("first")
    assert api.client.get(LOG, params={"session": SESSION}).status_code == 401


def test_who_asks_too_much_is_told_when_to_come_again(
    database_of_module: ClickHouseConfig, events: list[AuditEvent], tmp_path: Path
) -> None:
    """429 with Retry-After, for requests and for bytes; another token is not held up."""
    assert events
    with an_api(database_of_module, tmp_path, requests_per_minute=2) as api:
        header = api.token("one")
        codes = [
            api.client.get(LOG, params={"session": SESSION}, headers=header).status_code
            for _ in range(3)
        ]
        refused = api.client.get(LOG, params={"session": SESSION}, headers=header)
        assert codes == [200, 200, 429]
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.json()["retry_after_seconds"] == int(refused.headers["retry-after"])
        other = api.client.get(LOG, params={"session": SESSION}, headers=api.token("two"))
        assert other.status_code == 200
    with an_api(database_of_module, tmp_path / "bytes", bytes_per_minute=1_000) as api:
        header = api.token("one")
        assert api.client.get(LOG, params={"session": SESSION}, headers=header).status_code == 200
        refused = api.client.get(LOG, params={"session": SESSION}, headers=header)
        assert (refused.status_code, "bytes_per_minute" in refused.json()["detail"]) == (429, True)


def test_a_read_is_written_down(api: Api, events: list[AuditEvent]) -> None:
    """Who, what, how much and how long, in a session of its own, for the reader's own tenant."""
    header = api.token("grafana", "acme")
    api.client.get(LOG, params={"session": SESSION, "run": "run-1"}, headers=header)
    api.client.get(LOG, params={"session": "unknown"}, headers=header)
    found, missing = api.reads()

    assert (found.tenant_id, found.correlation_id) == ("acme", SESSION)
    assert found.session_id.startswith("audit-read-api-")
    assert found.actor is not None
    assert (found.actor.type, found.actor.id) == ("token", "grafana")
    assert found.data["filter"] == {"session": SESSION, "run": "run-1"}
    wanted = [each for each in events if each.tenant_id == "acme" and each.run_id == "run-1"]
    assert (found.data["rows"], found.data["complete"]) == (len(wanted), True)
    assert found.data["duration_ms"] > 0
    assert (missing.correlation_id, missing.data["rows"]) == ("unknown", 0)


@pytest.mark.parametrize(
    ("path", "asked", "failed"),
    [
        ("log", {"session": SESSION, "limit": "0"}, "QueryError"),
        ("log", {"session": SESSION, "colour": "red"}, "QueryError"),
        ("log", {"session": SESSION, "cursor": "x"}, "QueryError"),
        ("search", {"q": "type:("}, "QueryError"),
        ("search", {"q": "x" * 20_000}, "QueryError"),
        ("sql", {"statement": "SELECT secret FROM nowhere"}, "forbidden-scope"),
        ("follow", {"q": "type:("}, "QueryError"),
        ("follow", {"token": "x"}, "QueryError"),
    ],
)
def test_a_read_that_fails_is_written_down_once_by_its_kind(
    api: Api, path: str, asked: dict[str, str], failed: str
) -> None:
    """Whoever was let in and got nothing stands there with what was asked for, and no word of the error."""
    answer = api.client.get(f"/api/v1/{path}", params=asked, headers=api.token("grafana", "acme"))
    assert answer.status_code in (400, 403, 422)
    [read] = api.reads()
    assert (read.data["failed"], read.data["rows"], read.data["complete"]) == (failed, 0, False)
    assert set(read.data["filter"]) == set(asked)
    assert answer.json()["detail"] not in msgspec.json.encode(read.data).decode()
    assert read.correlation_id == asked.get("session")


def test_a_read_that_cannot_be_written_down_is_not_given(
    api: Api, events: list[AuditEvent]
) -> None:
    """With no room in the spool the answer is 503, and holds no event."""
    assert events
    header = api.token("all")
    api.audit.fail_with(SpoolFullError("full"))
    for accept in ("application/json", "application/x-ndjson"):
        answer = api.client.get(
            LOG, params={"session": SESSION}, headers={**header, "Accept": accept}
        )
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert b"run-1" not in answer.content


def test_health_and_metrics_need_no_token_and_tell_nobodys_data(api: Api) -> None:
    """Their labels are routes of the table and classes of status, never a path, a name or a session."""
    api.client.get(LOG, params={"session": SESSION}, headers=api.token("grafana", "acme"))
    api.client.get("/api/v1/secret-path", headers=api.token("two"))
    assert api.client.get("/health").json() == {"status": "ready"}
    text = api.client.get("/metrics").text

    assert 'trailhouse_api_requests_total{route="/api/v1/log",status="2xx"} 1' in text
    assert 'trailhouse_api_requests_total{route="none",status="4xx"} 1' in text
    assert not any(word in text for word in ("grafana", "acme", "airline", "secret-path", "thr_"))


def test_clickhouse_away_is_said_as_such(tmp_path: Path) -> None:
    """503 with Retry-After, which names no server."""
    nowhere = ClickHouseConfig(url="http://127.0.0.1:1")
    with an_api(nowhere, tmp_path) as api:
        for path in (LOG, "/health"):
            answer = api.client.get(path, params={"session": SESSION})
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert "127.0.0.1" not in answer.text
        assert [each.data["failed"] for each in api.reads()] == ["StorageUnavailableError"]


def test_what_is_too_large_is_refused(api: Api) -> None:
    """Bodies and headers are bounded, and an odd length is no way around it."""
    header = api.token("all")
    assert api.client.post(LOG, headers=header, content=b"x" * 300_000).status_code == 413
    many = {f"X-{place}": "1" for place in range(200)}
    assert api.client.get(LOG, headers={**header, **many}).status_code == 431
    assert api.client.get(LOG, headers={**header, "Content-Length": "-1"}).status_code == 413
    answer = api.client.post(LOG, headers=header)
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert answer.json()["type"] == "urn:trailhouse:problem:method-not-allowed"


def test_the_document_says_what_there_is(api: Api) -> None:
    """OpenAPI names each route with its parameters, and every reference in it leads somewhere."""
    document = api.client.get("/openapi.json").json()
    names = [each["name"] for each in document["paths"][LOG]["get"]["parameters"]]
    references = set(msgspec.json.encode(document).decode().split('"#/components/schemas/')[1:])

    assert names == ["session", "run", "type", "standing", "since", "until", "cursor", "limit"]
    assert {each.partition('"')[0] for each in references} <= set(document["components"]["schemas"])
    assert api.client.get("/docs").status_code == 404
