"""A reader's own SQL against the real ClickHouse engine: what it finds, and what it can never see."""

from collections.abc import Iterator

import pytest

from stored import event, in_order, store
from trailhouse.query import AuditReader, QueryError, ReadBudget
from trailhouse.query.sql import guard as sql_guard
from trailhouse.query.sql.guard import guard
from trailhouse.query.sql.statement import settings_of
from trailhouse.query.sql.words import VIEWS
from trailhouse.store import ClickHouse, ClickHouseConfig, StorageError

pytestmark = pytest.mark.cluster
EVENTS = [
    event("s", tenant_id=tenant, run_id=f"run-of-{tenant}", data={"n": {"x": number}})
    for number, tenant in enumerate(("acme", "other", "other"))
]
SECRET = [
    event(
        "payroll-q3", kind, tenant_id="other", run_id="run-of-other",
        data={"tool_call_id": f"{number}", "approval_id": f"{number}", "cost_usd": "1"},
    )
    for kind in ("tool_call_started", "tool_approval_requested", "token_usage_updated")
    for number in range(3)
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database with three events of two tenants, each stored twice."""
    for _ in range(2):
        store(database_of_module, in_order(EVENTS + SECRET))
    return database_of_module


@pytest.fixture
def everything(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader who sees all tenants."""
    with AuditReader(config=stored) as reader:
        yield reader


@pytest.fixture
def acme(stored: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of one tenant."""
    with AuditReader("acme", config=stored) as reader:
        yield reader


def test_a_question_is_answered(everything: AuditReader) -> None:
    """Texts as parameters, paths into data, subqueries and expressions of WITH work as ClickHouse has them."""
    found = everything.sql(
        "WITH mine AS (SELECT * FROM events WHERE type IN ('message_sent', 'x')) SELECT tenant_id AS tenant,"
        " count() AS events, max(JSONExtractInt(data, 'n', 'x')) FROM mine WHERE run_id IN (SELECT run_id FROM events"
        " WHERE run_id LIKE 'run-of-%') AND occurred_at > now() - INTERVAL 1 DAY GROUP BY tenant ORDER BY tenant"
    )
    assert found.columns[:2] == ("tenant", "events")
    assert found.rows == (("acme", 1, 0), ("other", 2, 2))
    assert found.complete


def test_what_is_left_out_is_said(everything: AuditReader) -> None:
    """Beyond the limit there are further rows; beyond the budget there are none, and both are named."""
    found = everything.sql("SELECT event_id FROM events", limit=2)
    assert (len(found.rows), found.complete, found.left_out[0].what) == (2, False, "further rows")
    spent = everything.sql("SELECT event_id FROM events", budget=ReadBudget(rows=1))
    assert (spent.rows, spent.complete, spent.left_out[0].what) == ((), False, "every row")
    with pytest.raises(QueryError, match="limit: must be at most 10,000"):
        everything.sql("SELECT event_id FROM events", limit=10_001)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"SELECT DISTINCT tenant_id FROM {view}" for view in VIEWS),
        "SELECT DISTINCT tenant_id FROM events WHERE tenant_id = 'other' OR 1",
        "SELECT DISTINCT tenant_id FROM events AS a CROSS JOIN events AS b",
        "SELECT DISTINCT b.tenant_id FROM events AS a LEFT JOIN events AS b ON a.session_id = b.session_id",
        "SELECT tenant_id FROM (SELECT 'acme' AS t, tenant_id FROM events)",
        "WITH a AS (SELECT tenant_id FROM events) SELECT (SELECT max(tenant_id) FROM a) FROM a",
        "SELECT max(tenant_id) FROM events WHERE 'other' IN (SELECT tenant_id FROM events) OR 1",
    ],
)
def test_a_reader_of_one_tenant_sees_nothing_of_others(acme: AuditReader, statement: str) -> None:
    """Whatever the statement says, every row that it reads is the tenant's."""
    assert {row[0] for row in acme.sql(statement).rows} <= {"acme"}


def test_no_failure_tells_of_rows_of_others(acme: AuditReader) -> None:
    """Rows of others do not make a division or a comparison fail, and no message holds a value."""
    assert acme.sql(
        "SELECT 1 / (tenant_id = 'acme') FROM events WHERE 1 % (tenant_id = 'acme') = 0"
    ).rows
    with pytest.raises(QueryError, match="ILLEGAL_TYPE_OF_ARGUMENT") as raised:
        acme.sql("SELECT toDate(run_id) FROM events")
    assert "run-of" not in str(raised.value)


# Each fails for the rows of which `{}` is true.
_FAILING = (
    "arrayCount((x, y) -> 1, if({}, [1, 2], [1]), [1]) = 1",
    "arrayUniq(if({}, [1, 2], [1]), [1]) = 1",
    "toInt8OrZero(if({}, '-128', '1')) % -1 = 0",
    "arraySlice([1, 2], 1, toInt64OrZero(if({}, '-9223372036854775808', '1'))) = [1]",
    "intDiv(1, if({}, 0, 1)) = 1",
    "toUInt8(if({}, 'x', '1')) = 1",
)
_OF_OTHERS = (
    "position(session_id, 'pay') = 1",
    "startsWith(session_id, 'payroll')",
    "tenant_id != 'acme'",
    "toString(tenant_id) = 'other'",
)
_OF_OTHER_EVENTS = ("occurred_us > 0 AND session_id != 's'", "position(record, 'run-of-other') > 0")


@pytest.mark.parametrize("view", VIEWS)
def test_no_expression_meets_a_row_of_others(
    stored: ClickHouseConfig, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    """What fails for a row fails for rows of the reader's tenant alone, wherever it stands and whatever is refused."""
    # Beside the list of functions that are refused, which can never be whole.
    monkeypatch.setattr(sql_guard, "check_failures", lambda _: None)
    told = (*_OF_OTHERS, *(_OF_OTHER_EVENTS if view == "events" else ()))
    joined = f"FROM {view} AS v JOIN {view} AS w ON v.session_id = w.session_id"
    own = "session_id = 's'"
    failing = _FAILING[0].format("v.session_id != 's'")
    with AuditReader("acme", config=stored) as acme:
        for form in _FAILING:
            acme.sql(f"SELECT count() FROM {view} WHERE {form.format(told[0])}")
        for each in told[1:]:
            acme.sql(f"SELECT count() FROM {view} WHERE {_FAILING[0].format(each)}")
        acme.sql(f"SELECT count() FROM {view} AS v WHERE v.{own} AND {failing}")
        acme.sql(f"SELECT count() {joined} AND {failing}")
        acme.sql(f"SELECT v.session_id FROM {view} AS v GROUP BY v.session_id HAVING {failing}")
    if view in ("events", "runs", "sessions"):
        with AuditReader("acme", config=stored) as acme:
            for form in _FAILING:
                with pytest.raises(QueryError, match="ClickHouse cannot run it"):
                    acme.sql(f"SELECT count() FROM {view} WHERE {form.format(own)}")


_MARKED = "modulo(cityHash64(v.session_id), 424242) != 7"
_SHAPES = (
    "SELECT count() FROM {view} AS v WHERE {marked}",
    "SELECT v.session_id FROM {view} AS v WHERE v.session_id = 's' AND {marked} ORDER BY v.session_id",
    "SELECT count() FROM {view} AS v JOIN {view} AS w ON v.session_id = w.session_id AND {marked}",
    "SELECT count() FROM {view} AS w LEFT JOIN {view} AS v ON v.session_id = w.session_id WHERE {marked}",
    "SELECT count() FROM {view} AS w, {view} AS v WHERE v.session_id = w.session_id AND {marked}",
    "SELECT v.session_id FROM {view} AS v GROUP BY v.session_id HAVING {marked}",
    "SELECT DISTINCT v.session_id FROM {view} AS v WHERE v.session_id IN (SELECT session_id FROM {view}) AND {marked}",
    "SELECT * FROM (SELECT session_id, count() OVER (PARTITION BY session_id) AS n FROM {view}) AS v WHERE {marked}",
    "WITH v AS (SELECT session_id FROM {view}) SELECT count() FROM v WHERE {marked}",
    "SELECT count() FROM {view} AS w WHERE w.session_id IN (SELECT v.session_id FROM {view} AS v WHERE {marked})",
)


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_of_a_statement_is_moved_to_the_table(stored: ClickHouseConfig, view: str) -> None:
    """In ClickHouse's plan every table is read below the LIMIT, and no expression of the reader's stands there."""
    with ClickHouse(stored) as clickhouse:
        for shape in _SHAPES:
            sent = guard(shape.format(view=view, marked=_MARKED), "acme")
            asked = f"EXPLAIN PLAN indexes = 1, actions = 1 {sent.sql}"
            settings = settings_of(1_000, is_bound=True)
            plan = [
                row[0] for row in clickhouse.query(asked, sent.parameters, settings=settings).rows
            ]
            assert any("424242" in line for line in plan), shape
            for line, steps in _below(plan):
                is_shielded = any(step.startswith("Limit") for step in steps)
                assert is_shielded or "ReadFromMergeTree" not in line, (shape, plan)
                assert not (is_shielded and "424242" in line), (shape, plan)
            assert any("tenant_id = 'acme'" in line for line in plan), shape


def _below(plan: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each line of *plan* with the steps that it belongs to, from the last to the first."""
    steps: list[tuple[int, str]] = []
    for line in plan:
        if (place := line.find("──")) >= 0:
            steps = [step for step in steps if step[0] < place] + [(place, line[place + 2 :])]
        yield line, [name for _, name in steps]


@pytest.mark.parametrize(
    "expression",
    [
        "arrayUniq([1], [2, length(run_id)])",
        "arraySlice([1], 1, length(run_id))",
    ],
)
def test_what_fails_for_some_values_is_refused_besides(acme: AuditReader, expression: str) -> None:
    """A function that is known to fail for some values takes values of the statement alone."""
    with pytest.raises(QueryError, match="fails for"):
        acme.sql(f"SELECT {expression} FROM events")


def test_a_mistake_is_named(everything: AuditReader) -> None:
    """A column that is not there is named; what ClickHouse quotes of rows is not."""
    with pytest.raises(QueryError, match="there is no column nothing"):
        everything.sql("SELECT nothing FROM events")
    with pytest.raises(QueryError, match=r"CANNOT_PARSE\w+ \(\d+\)$"):
        everything.sql("SELECT toUInt64(run_id) FROM events")


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT 1 AS one FROM events LIMIT 1 WITH TIES", "WITH_TIES_WITHOUT_ORDER_BY"),
        (f"SELECT seq{'+1' * 1_200} AS far FROM events", "TOO_DEEP_AST"),
        ("SELECT count() FROM events WHERE session_id LIKE '\\\\'", "CANNOT_PARSE_ESCAPE_SEQUENCE"),
    ],
)
def test_what_can_never_run_is_the_statements_fault(
    everything: AuditReader, statement: str, name: str
) -> None:
    """Whatever ClickHouse refuses of a statement is permanent: nobody is told to try the same again."""
    with pytest.raises(QueryError, match=name):
        everything.sql(statement)


def test_a_statement_may_only_read(stored: ClickHouseConfig) -> None:
    """The settings of a statement forbid to write even to a user who may."""
    with ClickHouse(stored) as clickhouse, pytest.raises(StorageError, match="may only read"):
        clickhouse.query("TRUNCATE TABLE event_log", settings=settings_of(1, is_bound=True))


def test_rows_that_are_too_large_together_are_said_to_be_left_out(everything: AuditReader) -> None:
    """An answer beyond the bound of bytes has no rows rather than some, and that is named."""
    wide = " , ".join(["arrayStringConcat(splitByString('', record), '0123456789')"] * 12)
    spent = everything.sql(
        f"SELECT {wide} FROM events AS a CROSS JOIN events AS b CROSS JOIN events AS c CROSS JOIN events AS d"
        " CROSS JOIN events AS e CROSS JOIN events AS f CROSS JOIN events AS g CROSS JOIN events AS h",
        limit=10_000,
    )
    assert (spent.rows, spent.complete, spent.left_out[0].what) == ((), False, "every row")
