"""What of a reader's SQL is sent, and what is refused before it is."""

import re

import pytest

from trailhouse.query.sql.guard import MAX_STATEMENT_CHARACTERS, guard
from trailhouse.query.sql.words import VIEWS
from trailhouse.schemas.errors import QueryError

HOSTILE = [
    # More than one statement, and other kinds of it.
    "SELECT 1 FROM events; SELECT 2 FROM events",
    "SELECT 1 FROM events; DROP TABLE event_log",
    "DROP TABLE event_log",
    "INSERT INTO events SELECT * FROM events",
    "ALTER TABLE event_log DELETE WHERE 1",
    "CREATE TABLE x AS SELECT * FROM events",
    "EXPLAIN SELECT * FROM event_log",
    "DESCRIBE TABLE event_log",
    "SHOW TABLES",
    "SET readonly = 0",
    "USE system",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "GRANT ALL ON *.* TO default",
    "OPTIMIZE TABLE event_log FINAL",
    "SELECT session_id FROM events UNION ALL SELECT name FROM system.tables",
    "SELECT session_id FROM events UNION ALL SELECT session_id FROM events",
    "SELECT session_id FROM events EXCEPT SELECT session_id FROM runs",
    "(SELECT 1 FROM events) INTERSECT (SELECT 1 FROM runs)",
    # Other tables, wherever a table may stand.
    "SELECT * FROM event_log",
    "SELECT * FROM system.tables",
    "SELECT * FROM trailhouse.events",
    "SELECT * FROM `system`.`users`",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM (SELECT * FROM event_log)",
    "SELECT * FROM events JOIN event_log USING (session_id)",
    "SELECT * FROM events, system.users",
    "SELECT (SELECT count() FROM system.tables) FROM events",
    "SELECT * FROM events WHERE session_id IN (SELECT session_id FROM event_log)",
    "SELECT * FROM events WHERE session_id IN event_log",
    "SELECT * FROM events WHERE session_id IN (event_log)",
    "SELECT * FROM events WHERE session_id IN ((event_log))",
    "SELECT * FROM events WHERE session_id IN system.tables",
    "SELECT * FROM events WHERE (session_id) NOT IN event_log",
    "SELECT * FROM events WHERE session_id GLOBAL IN event_log",
    "SELECT * FROM events WHERE EXISTS (SELECT 1 FROM event_log)",
    "SELECT * FROM events WHERE session_id = ANY (SELECT session_id FROM event_log)",
    "SELECT * FROM Events",
    "SELECT * FROM events_as_stored",
    "SELECT * FROM \"events' OR 1\"",
    # Names of WITH that are out of their scope would be tables'.
    "WITH event_log AS (SELECT * FROM event_log) SELECT * FROM event_log",
    "SELECT * FROM (WITH event_log AS (SELECT 1 FROM runs) SELECT * FROM event_log) AS a JOIN event_log ON 1",
    "WITH a AS (SELECT * FROM event_log), event_log AS (SELECT 1 FROM runs) SELECT * FROM a",
    "WITH events AS (SELECT 1 FROM runs) SELECT * FROM events",
    "WITH RECURSIVE a AS (SELECT 1 AS n FROM runs UNION ALL SELECT n FROM a) SELECT * FROM a",
    "WITH 'other' AS tenant_id SELECT * FROM events",
    "WITH (SELECT max(cost_usd) FROM events) AS x SELECT x FROM events",
    # Table functions.
    "SELECT * FROM url('http://127.0.0.1/', CSV, 'a String')",
    "SELECT * FROM file('/etc/passwd', LineAsString)",
    "SELECT * FROM remote('127.0.0.1', system.users)",
    "SELECT * FROM s3('https://127.0.0.1/a')",
    "SELECT * FROM numbers(1000000000000)",
    "SELECT * FROM merge('trailhouse', '.*')",
    "SELECT * FROM view(SELECT 1)",
    "SELECT * FROM executable('x', TSV, 'a String')",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:3306', 'a', 'b', 'c', 'd')",
    "SELECT * FROM values('a String', 'b')",
    "SELECT * FROM events WHERE session_id IN numbers(10)",
    # Functions that read something, wait, or ask the server.
    "SELECT file('/etc/passwd') FROM events",
    "SELECT dictGet('a', 'b', 1) FROM events",
    "SELECT joinGet('event_log', 'record', 'a') FROM events",
    "SELECT hasColumnInTable('system', 'users', 'name') FROM events",
    "SELECT sleep(3) FROM events",
    "SELECT sleepEachRow(3) FROM events",
    "SELECT getSetting('max_threads') FROM events",
    "SELECT currentUser() FROM events",
    "SELECT currentDatabase() FROM events",
    "SELECT hostName(), version(), getMacro('x') FROM events",
    "SELECT throwIf(tenant_id = 'other') FROM events",
    "SELECT evalMLMethod(a) FROM events",
    "SELECT repeat('a', 100000000) FROM events",
    "SELECT range(100000000) FROM events",
    "SELECT arrayMap(sleep, [1]) FROM events",
    "SELECT * APPLY(sleep) FROM events",
    "SELECT COLUMNS('.*') FROM events",
    "SELECT CAST(run_id, 'UInt64') FROM events",
    "SELECT @@version FROM events",
    # What stands behind a SELECT.
    "SELECT * FROM events SETTINGS max_execution_time = 0",
    "SELECT * FROM events SETTINGS readonly = 0",
    "SELECT * FROM (SELECT * FROM events SETTINGS max_threads = 64)",
    "SELECT * FROM events FORMAT Native",
    "SELECT * FROM events INTO OUTFILE '/tmp/x'",
    "SELECT * FROM events INTO OUTFILE '/tmp/x' FORMAT CSV",
    "SELECT * FROM events FINAL",
    "SELECT * FROM events SAMPLE 0.1",
    "SELECT * FROM events PREWHERE 1",
    "SELECT * FROM events ORDER BY occurred_at WITH FILL",
    "SELECT count() FROM events GROUP BY type WITH TOTALS",
    "SELECT * FROM events ARRAY JOIN [1, 2] AS a",
    "SELECT * FROM events FOR UPDATE",
    # Names and values of ours, and characters that two parsers may read in two ways.
    "SELECT {trailhouse_tenant:String} FROM events",
    "SELECT * FROM events WHERE session_id = {a:String}",
    "SELECT ? FROM events",
    "SELECT 1 AS trailhouse_rows FROM events",
    "SELECT * FROM events AS trailhouse_rows",
    "SELECT 1 AS `a\"b` FROM events",
    "SELECT 1 AS `a``b` FROM events",
    "SELECT 1 AS \"a\\\"b\" FROM events",
    "SELECT 1\x00 FROM events",
    "SELECT 1 FROM events\x00; DROP TABLE event_log",
    "SELECT 'a' FROM events /* ",
    "SELECT $$a$$, 1 FROM event_log",
    # Nothing, or too much of it.
    "",
    ";",
    "SELECT 1",
    "SELECT 'events'",
    "SELECT " + "(" * 500 + "1" + ")" * 500 + " FROM events",
    "SELECT 1 FROM events WHERE type = '" + "a" * MAX_STATEMENT_CHARACTERS + "'",
    "SELECT '\ud800' FROM events",
]  # fmt: skip

TELLING = [
    "SELECT intDiv(1, length(run_id)) FROM events",
    "SELECT 1 FROM events WHERE intDiv(1, run_id = 'secret')",
    "SELECT modulo(1, seq) FROM events",
    "SELECT toUInt64(run_id) FROM events",
    "SELECT run_id::UInt64 FROM events",
    "SELECT CAST(run_id AS Date) FROM events",
    "SELECT toDateTime(run_id) FROM events",
    "SELECT toUUID(run_id) FROM events",
    "SELECT toUnixTimestamp(run_id) FROM events",
    "SELECT toDecimal64(run_id, 2) FROM events",
    "SELECT match('a', run_id) FROM events",
    "SELECT round(cost_usd, seq) FROM events",
    "SELECT 1 FROM events WHERE 'a' LIKE run_id",
    "SELECT toUInt64(x) FROM (SELECT run_id AS x FROM events)",
    "SELECT toUInt64((SELECT any(run_id) FROM events)) FROM runs",
    "SELECT arrayMap(x -> toUInt64(x), [run_id]) FROM events",
]

GOOD = [
    "SELECT * FROM events",
    "select session_id, count() from events group by session_id order by count() desc limit 10;",
    "SELECT toStartOfHour(occurred_at) AS hour, countIf(type = 'run_failed') FROM events GROUP BY hour",
    "SELECT e.session_id FROM events AS e LEFT JOIN runs AS r ON e.run_id = r.run_id",
    "SELECT * FROM events WHERE type IN ('a', 'b') AND session_id IN (SELECT session_id FROM runs)",
    "WITH a AS (SELECT session_id FROM events), b AS (SELECT * FROM a) SELECT * FROM b JOIN a USING (session_id)",
    "SELECT quantileIf(0.5)(duration_ms, seq > 1), sum(cost_usd) FROM token_usage WHERE book = 'updated'",
    "SELECT JSONExtractString(data, 'a', 'b'), data['x'] FROM events WHERE occurred_at > now() - INTERVAL 1 DAY",
    "SELECT row_number() OVER (PARTITION BY run_id ORDER BY occurred_at) FROM tool_calls",
    "SELECT * EXCEPT (record) FROM events WHERE occurred_at >= '2026-01-31' AND NOT type LIKE 'run%'",
    "SELECT toDate(occurred_at) AS day, uniqExact(run_id) FROM events GROUP BY day HAVING day > toDate('2026-01-31')",
    "SELECT CASE WHEN status = 'open' THEN 1 ELSE 0 END, if(a, b, c), type || 'x' FROM approvals",
    "SELECT arrayMap(x -> upper(x), agent_ids) FROM sessions -- with a remark",
]


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("statement", HOSTILE, ids=lambda text: ascii(text[:50]))
def test_what_is_not_one_select_on_our_views_is_refused(statement: str, tenant: str | None) -> None:
    """It is never sent, and the error says what is allowed."""
    with pytest.raises(
        QueryError, match=r"^sql: .*(allowed is one SELECT on|at most 20,000|WITH name AS)"
    ):
        guard(statement, tenant)


@pytest.mark.parametrize("statement", TELLING)
def test_what_fails_for_some_values_is_refused_to_a_reader_of_one_tenant(statement: str) -> None:
    """A failure would tell about rows of others, whichever condition is tried first; who sees all may use it."""
    with pytest.raises(QueryError, match=r"fails for|must be a text of the statement"):
        guard(statement, "acme")
    assert guard(statement, None).sql


@pytest.mark.parametrize("tenant", [None, "acme"])
@pytest.mark.parametrize("statement", GOOD)
def test_a_question_is_sent_in_words_of_ours(statement: str, tenant: str | None) -> None:
    """Every name is quoted, every text a parameter, and what is sent means itself again."""
    sent = guard(statement, tenant)
    assert "'" not in sent.sql
    assert ";" not in sent.sql
    assert set(re.findall(r"\{(\w+): String\}", sent.sql)) == set(sent.parameters)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_rows_of_the_tenant(view: str) -> None:
    """Wherever a view stands in a statement of a reader of one tenant, its rows of that tenant stand there."""
    tenant = "o'brien\\"
    sent = guard(
        f"WITH a AS (SELECT 1 AS one FROM {view}) SELECT (SELECT count() FROM {view}) FROM {view} AS v, {view}"
        f" LEFT JOIN {view} AS w ON w.tenant_id = v.tenant_id, a WHERE v.tenant_id IN (SELECT tenant_id FROM {view})",
        tenant,
    )
    own = '"trailhouse_rows"."tenant_id" = {trailhouse_tenant: String}'
    rows = f'(SELECT * FROM "{view}" AS "trailhouse_rows" WHERE {own} LIMIT {2**63 - 1})'
    assert sent.sql.count(rows) == sent.sql.count(f'FROM "{view}"') == 6
    assert not re.search(rf'(FROM|JOIN|,) "{view}" AS "(?!trailhouse_rows)', sent.sql)
    assert sent.parameters == {"trailhouse_tenant": tenant}


BY_KEY = (
    "session_id = 's'", "session_id IN ('s', 't')", "run_id = 'r'", "occurred_us >= 1700000000000000",
    "events.occurred_at > now() - INTERVAL 7 DAY", "occurred_at < '2026-01-02 03:04:05.678'",
)  # fmt: skip
NOT_BY_KEY = (
    "upper(session_id) = 'S'", "session_id = run_id", "session_id IN (SELECT session_id FROM runs)", "session_id = 1",
    "session_id IN ('s', upper('t'))", "occurred_us > 'x'", "occurred_us > 1.5", "occurred_us > 1 + 1",
    "occurred_at > 'nonsense'", "occurred_at > '2026-02-30 00:00:00'", "occurred_at > now64(9)",
    "occurred_at > now() - INTERVAL (SELECT 1 FROM runs) DAY", "session_id = 's' OR 1", "NOT session_id = 's'",
    "other.session_id = 's'", "type = 'x'",
)  # fmt: skip


@pytest.mark.parametrize("condition", BY_KEY + NOT_BY_KEY)
def test_only_what_fails_for_no_row_stands_before_the_limit(condition: str) -> None:
    """A plain comparison by which rows are found quickly is asked of the table too; no other condition ever is."""
    sent = guard(f"SELECT 1 AS one FROM events WHERE ({condition}) AND seq = 2", "acme").sql
    inner, outer = sent.split(" LIMIT ", 1)
    own = inner.split("WHERE ", 1)[1]
    assert "seq" not in own
    assert (" AND " in own) is (condition in BY_KEY)
    assert "WHERE" in outer


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'x' AS session_id FROM events WHERE session_id = 's'",
        "SELECT 1 AS one FROM events AS a LEFT JOIN runs AS b ON a.run_id = b.run_id WHERE session_id = 's'",
        "SELECT 1 AS one FROM (SELECT * FROM events) WHERE session_id = 's'",
        "SELECT 1 AS one FROM events HAVING session_id = 's'",
        "SELECT 1 AS one FROM sessions WHERE run_id = 's'",
    ],
)
def test_a_condition_on_something_else_stays_where_it_is(statement: str) -> None:
    """What means an alias, one of several tables or a subquery's column is not asked of a view."""
    assert (
        "{trailhouse_p0: String}"
        not in guard(statement, "acme").sql.split(" LIMIT ")[0].split('WHERE "trail')[1]
    )


def test_a_division_by_zero_tells_nothing() -> None:
    """A divisor of a row is NULL where it is 0, for a reader of one tenant."""
    sent = guard("SELECT cost_usd / seq, seq % 2, seq % seq FROM events", "acme").sql
    assert sent.startswith(
        'SELECT "cost_usd" / nullIf("seq", 0), "seq" % 2, "seq" % nullIf("seq", 0) FROM '
    )


def test_names_of_with_are_looked_up_where_they_are_known() -> None:
    """An expression has a name of ours, the nearer one of two that share theirs."""
    sent = guard(
        "WITH a AS (SELECT 1 AS n FROM events) SELECT * FROM (WITH a AS (SELECT n FROM a) SELECT * FROM a) AS x, a",
        None,
    )
    assert sent.sql == (
        'WITH "trailhouse_with_0" AS (SELECT 1 AS "n" FROM "events" AS "events") SELECT * FROM ('
        'WITH "trailhouse_with_1" AS (SELECT "n" FROM "trailhouse_with_0" AS "a") SELECT * FROM "trailhouse_with_1"'
        ' AS "a") AS "x" CROSS JOIN "trailhouse_with_0" AS "a"'
    )


def test_the_place_of_a_mistake_is_named() -> None:
    """Line and column of what is refused."""
    with pytest.raises(
        QueryError, match=r"^sql: line 2, column 6: 'event_log' is not a view of ours; "
    ):
        guard("SELECT *\nFROM event_log", None)
    with pytest.raises(QueryError, match=r"line 1, column 15: the function sleep is not allowed"):
        guard("SELECT type, sleep(1) FROM events".replace("type, ", "type , "), None)


def test_texts_are_values() -> None:
    """Whatever a text holds, it reaches ClickHouse as a bound value."""
    text = "a'b\\\n\t--/*{x:String}"
    sent = guard("SELECT * FROM events WHERE type = 'a\\'b\\\\\\n\\t--/*{x:String}'", None)
    assert list(sent.parameters.values()) == [text]
