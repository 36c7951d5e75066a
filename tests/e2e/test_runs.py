"""Runs against the real engine, held against answers worked out apart from any SQL."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from cluster import Cluster
from fleet import ENDINGS, RunKey, books, fleet, run_key, runs_of, status_of
from projected import fleet_database, store_projected
from stored import in_order
from trailhouse.query import AuditReader, ReadBudget
from trailhouse.query.books import Book
from trailhouse.query.run_status import RUN_STATUSES
from trailhouse.query.runs.runs import RunSummary
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import QueryError
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster

FAR = "until:9999-12-31T23:59:59Z"


@pytest.fixture(scope="module")
def config(cluster: Cluster) -> ClickHouseConfig:
    """Return a database that holds the fleet."""
    return fleet_database(cluster)


@pytest.fixture(scope="module")
def reader(config: ClickHouseConfig) -> Iterator[AuditReader]:
    """Return a reader of all tenants."""
    with AuditReader(config=config) as opened:
        yield opened


def key_of(run: RunSummary) -> RunKey:
    """Return what tells a run from every other."""
    return run.session_id, run.tenant_id or "", run.run_id


def all_runs(reader: AuditReader, wanted: str = "", **options: Any) -> list[RunSummary]:
    """Return every run of a walk."""
    found: list[RunSummary] = []
    cursor = None
    # Those too whose clock is ahead.
    wanted = wanted if "until:" in wanted else f"{wanted} {FAR}"
    while True:
        page = reader.runs(wanted, cursor=cursor, **options)
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


def as_dict(book: Book) -> dict[str, Any]:
    """Return a book's figures by name."""
    return msgspec.structs.asdict(book)


def matching(wanted: Any) -> list[RunKey]:
    """Return the keys of the runs whose events *wanted* takes, newest start first."""
    return [key for key, run in runs_of(fleet()).items() if wanted(run)]


def test_every_run_is_met_once_newest_start_first(reader: AuditReader) -> None:
    """A walk in small pages meets each run once, also those without a start, in order of their first event."""
    expected = list(runs_of(fleet()))
    assert [key_of(run) for run in all_runs(reader, limit=17)] == expected
    assert [key_of(run) for run in all_runs(reader, limit=1_000)] == expected
    assert reader.runs(FAR, limit=1_000).next is None


def test_each_run_is_what_its_events_say(reader: AuditReader) -> None:
    """Status, times, counts and both books of each run are those of its own events, to the last digit."""
    expected = runs_of(fleet())
    found = all_runs(reader, limit=500)
    assert len(found) == len(expected) > 230
    for run in found:
        events = expected[key_of(run)]
        endings = [each for each in events if each.type in ENDINGS]
        increments, totals = books(events)
        assert (run.status, run.events, run.ending_events) == (
            status_of(events), len(events), len(endings),
        )  # fmt: skip
        assert run.started_at == events[0].occurred_at
        assert run.last_event_at == events[-1].occurred_at
        assert run.ended_at == (endings[-1].occurred_at if endings else None)
        assert run.ending_event_id == (endings[-1].event_id if endings else None)
        assert run.agent_id == next((each.agent_id for each in events if each.agent_id), None)
        assert run.parent_run_id == next(
            (each.parent_run_id for each in events if each.parent_run_id), None
        )
        assert run.tool_calls == sum(each.type == "tool_call_started" for each in events)
        assert as_dict(run.books.increments) == increments
        assert as_dict(run.books.totals) == totals
        if run.ended_at is not None:
            assert run.duration_seconds == pytest.approx(
                (run.ended_at - run.started_at).total_seconds()
            )


def odd(reader: AuditReader, run_id: str) -> RunSummary:
    """Return a crafted run."""
    [found] = reader.runs(f"run:{run_id}").items
    return found


def test_books_are_side_by_side_and_a_difference_is_named(reader: AuditReader) -> None:
    """Increments and totals are never added; where both are known their difference is, exactly."""
    equal, apart, alone = odd(reader, "equal"), odd(reader, "apart"), odd(reader, "increments-only")
    assert (equal.books.differ, equal.books.difference.cost_usd) == (False, Decimal(0))
    assert (apart.books.differ, apart.books.difference.cost_usd) == (True, Decimal("-0.05"))
    assert (alone.books.differ, alone.books.difference.cost_usd) == (False, None)
    huge = odd(reader, "huge").books
    assert huge.increments.cost_usd == Decimal("299999999999999999997.370368")
    assert huge.increments.input_tokens == 3 * (2**64 - 1)
    assert odd(reader, "calls").books.outside_events == 1
    assert odd(reader, "conflict").books.increments.cost_usd == 3


def test_errors_are_counted_by_code(reader: AuditReader) -> None:
    """Each error's code is counted, and the code of the ending says why a run failed."""
    run = odd(reader, "no-start")
    assert (run.errors, run.error_events, run.ending_error_code) == ({"E1": 1}, 1, "E1")
    assert odd(reader, "calls").errors == {"429": 1}
    assert odd(reader, "ends-in-9999").errors == {"": 1}


@pytest.mark.parametrize("status", RUN_STATUSES)
def test_runs_of_a_status(reader: AuditReader, status: Any) -> None:
    """A status, given as argument or as the filter's outcome, finds the runs whose last ending says so."""
    expected = matching(lambda run: status_of(run) == status)
    assert expected
    assert [key_of(run) for run in all_runs(reader, status=status, limit=9)] == expected
    if status != "running":
        assert [key_of(run) for run in all_runs(reader, f"outcome:{status}")] == expected


def any_of(**fields: Any) -> Any:
    """Return what tells whether an event of a run has these fields."""
    return lambda run: any(
        all(getattr(each, name) == value for name, value in fields.items()) for each in run
    )


def has_error(code: str) -> Any:
    """Return what tells whether an event of a run has this error code."""
    return lambda run: any(str(each.data.get("error_code")) == code for each in run)


def day(number: int, hour: int = 0) -> dt.datetime:
    """Return a time of the month of the recorded runs."""
    return dt.datetime(2026, 3, number, hour, tzinfo=dt.UTC)


def lasted(run: list[AuditEvent]) -> dt.timedelta | None:
    """Return how long a run took, from its first event to its last ending; None without one."""
    endings = [each for each in run if each.type in ENDINGS]
    return endings[-1].occurred_at - run[0].occurred_at if endings else None


def known(run: list[AuditEvent], name: str) -> list[Any]:
    """Return what the books of a run say of tokens or cost."""
    return [each[name] for each in books(run) if each[name] is not None]


FILTERS: list[tuple[str, Any]] = [
    ("agent:agent-3", any_of(agent_id="agent-3")),
    ("-agent:agent-3", lambda run: not any_of(agent_id="agent-3")(run)),
    ("tenant:tenant-1 agent:agent-4", any_of(tenant_id="tenant-1", agent_id="agent-4")),
    ("session:(airline-07 OR odd)", lambda run: run[0].session_id in {"airline-07", "odd"}),
    ("session:odd -run:equal", lambda run: run[0].session_id == "odd" and run[0].run_id != "equal"),
    ("error:429", has_error("429")),
    (
        "type:tool_call_failed -type:run_failed",
        lambda run: any_of(type="tool_call_failed")(run) and not any_of(type="run_failed")(run),
    ),
    (
        "tool:book_reservation outcome:failed",
        lambda run: (
            any(each.data.get("tool_name") == "book_reservation" for each in run)
            and status_of(run) == "failed"
        ),
    ),
    ("parent_run:equal", any_of(parent_run_id="equal")),
    ("provider:azure", any_of(provider="azure")),
    ("agent:nobody", lambda _: False),
    ("cost:>1.5", lambda run: any(amount > Decimal("1.5") for amount in known(run, "cost_usd"))),
    (
        "-has:cost agent:agent-2",
        lambda run: any_of(agent_id="agent-2")(run) and not known(run, "cost_usd"),
    ),
    (
        "input_tokens:>18446744073709551615",
        lambda run: any(tokens >= 2**64 for tokens in known(run, "input_tokens")),
    ),
    ("duration:>3m", lambda run: (lasted(run) or dt.timedelta()) > dt.timedelta(minutes=3)),
    (
        "since:2026-03-02T00:00:00Z until:2026-03-05T12:00:00Z",
        lambda run: day(2) <= run[0].occurred_at <= day(5, 12),
    ),
    (
        "until:2026-03-05T12:00:00Z outcome:failed",
        lambda run: run[0].occurred_at <= day(5, 12) and status_of(run) == "failed",
    ),
    (
        "since:2026-03-02T00:00:00Z until:2026-03-02T09:00:00Z has:error",
        lambda run: (
            day(2) <= run[0].occurred_at <= day(2, 9)
            and any(each.data.get("error_code") for each in run)
        ),
    ),
]


@pytest.mark.parametrize(("wanted", "is_wanted"), FILTERS, ids=[text for text, _ in FILTERS])
def test_a_filter_finds_the_runs_that_meet_it(
    reader: AuditReader, wanted: str, is_wanted: Any
) -> None:
    """A run meets a condition that one of its events meets, and a negated one that none does."""
    expected = matching(is_wanted)
    assert [key_of(run) for run in all_runs(reader, wanted, limit=7)] == expected


def test_a_hostile_id_is_a_value(reader: AuditReader) -> None:
    """Whatever stands in an id finds the run of that id and no other."""
    names = {run.run_id for run in all_runs(reader) if run.run_id == run.session_id}
    assert len(names) == 8
    for name in names:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        [run] = reader.runs(f'run:"{quoted}" session:"{quoted}"').items
        assert (run.run_id, run.tenant_id, run.errors) == (name, name, {name: 1})


def test_one_run_id_is_a_run_for_each_session_and_tenant(
    config: ClickHouseConfig, reader: AuditReader
) -> None:
    """Runs of the same id in two tenants and two sessions are told apart, and a bound reader sees its own."""
    assert {key_of(run) for run in reader.runs("run:same").items} == {
        ("s-1", "t-1", "same"), ("s-1", "t-2", "same"), ("s-2", "t-1", "same"), ("s-1", "", "same"),
    }  # fmt: skip
    with AuditReader("t-1", config=config) as bound:
        assert {key_of(run) for run in all_runs(bound)} == {
            ("s-1", "t-1", "same"),
            ("s-2", "t-1", "same"),
        }
        assert bound.runs("tenant:t-2").items == ()
        assert {each.session_id for each in bound.sessions().items} == {"s-1", "s-2"}
    with AuditReader("t-1\udcff", config=config) as nobody:
        assert nobody.runs().items == () == nobody.sessions().items


def test_runs_of_one_id_are_compared_by_session_and_tenant(
    config: ClickHouseConfig, reader: AuditReader
) -> None:
    """Where several tenants have a run in one session, the tenant chooses; an empty one is the run without any."""

    def compared(
        tenant_a: str | None, tenant_b: str | None, asked: AuditReader = reader
    ) -> list[tuple[str | None, int]]:
        found = asked.compare(
            "same", "same", session_a="s-1", session_b="s-1", tenant_a=tenant_a, tenant_b=tenant_b
        ).value
        return [(side.tenant_id, side.events) for side in (found.a, found.b)]

    of = {
        run.tenant_id: (run.tenant_id, run.events)
        for run in reader.runs("run:same session:s-1").items
    }
    assert of.keys() == {None, "t-1", "t-2"}
    assert compared("", "t-2") == [of[None], of["t-2"]]
    assert compared("t-1", "") == [of["t-1"], of[None]]
    assert compared("t-3", "t-1") == [(None, 0), of["t-1"]]
    with pytest.raises(QueryError, match=r"^run_b: 3 tenants .*tenant_b, --tenant-b; empty: "):
        compared("t-1", None)
    with AuditReader("t-1", config=config) as bound:
        assert compared(None, "t-1", bound) == [of["t-1"]] * 2
        assert compared("t-2", "", bound) == [(None, 0)] * 2


def test_a_cursor_is_good_for_its_walk_alone(config: ClickHouseConfig, reader: AuditReader) -> None:
    """A cursor of other runs, of sessions, or altered is refused, each with its reason."""
    cursor = reader.runs("outcome:failed", limit=3).next
    assert cursor is not None
    for refused in (
        lambda: reader.runs("outcome:completed", cursor=cursor),
        lambda: reader.runs(cursor=cursor),
        lambda: reader.runs("outcome:failed", status="failed", cursor=cursor),
        lambda: reader.sessions("outcome:failed", cursor=cursor),
        lambda: reader.runs("outcome:failed", cursor=cursor[:-3]),
    ):
        with pytest.raises(QueryError, match=r"^cursor: "):
            refused()
    with (
        AuditReader(config=config, principal="somebody") as somebody,
        pytest.raises(QueryError, match=r"^cursor: .*principal"),
    ):
        somebody.runs("outcome:failed", cursor=cursor)
    with (
        AuditReader("tenant-1", config=config) as other,
        pytest.raises(QueryError, match=r"^cursor: .*tenant"),
    ):
        other.runs("outcome:failed", cursor=cursor)


@pytest.mark.parametrize(
    ("field", "options"),
    [("limit", {"limit": 0}), ("limit", {"limit": 1_001}), ("limit", {"limit": True}),
     ("status", {"status": "done"}), ("text", {"wanted": '"words"'})],
)  # fmt: skip
def test_what_cannot_be_asked_is_an_error(
    reader: AuditReader, field: str, options: dict[str, Any]
) -> None:
    """A wrong limit or status, and words, are refused by name."""
    for ask in (reader.runs, reader.sessions):
        with pytest.raises(QueryError, match=rf"^{field}: "):
            ask(**options)


def test_the_views_of_sql_say_the_same(config: ClickHouseConfig, reader: AuditReader) -> None:
    """What the view `runs` says of a run is what a reader is told of it."""
    with ClickHouse(config) as clickhouse:
        rows = clickhouse.query(
            "SELECT session_id, toString(tenant_id), run_id, status, events, tool_calls, error_code,"
            " updated_cost_usd, updated_unpriced, completed_cost_usd, completed_unpriced FROM runs"
        ).rows
    expected = {
        key_of(run): (
            run.status,
            run.events,
            run.tool_calls,
            run.ending_error_code or "",
            run.books.increments.cost_usd,
            run.books.increments.unpriced_events,
            run.books.totals.cost_usd,
            run.books.totals.unpriced_events,
        )
        for run in all_runs(reader)
    }
    assert {row[:3]: row[3:] for row in rows} == expected


def test_copies_and_merges_move_no_run(config: ClickHouseConfig, reader: AuditReader) -> None:
    """Storing a part again, at other offsets too, and merging leave every run and session as it was."""

    def answers() -> tuple[Any, ...]:
        return (
            all_runs(reader, limit=100),
            all_runs(reader, "cost:>1"),
            reader.sessions(limit=500).items,
        )

    before = answers()
    store_projected(config, in_order(fleet()[:3_000]))
    store_projected(config, in_order(fleet()[2_000:], 50_000))
    assert answers() == before
    with ClickHouse(config) as clickhouse:
        for table in ("event_log", "event_index", "event_usage"):
            clickhouse.command(f"OPTIMIZE TABLE {table} FINAL")
    assert answers() == before


def test_a_spent_budget_gives_what_was_found_and_how_to_go_on(reader: AuditReader) -> None:
    """A page that could not begin has no cursor to go in circles with, and says which budget would do."""
    wanted = f"{FAR} cost:>0.5"
    expected = [key_of(run) for run in all_runs(reader, wanted)]
    nothing = reader.runs(wanted, budget=ReadBudget(rows=1))
    assert (nothing.items, nothing.complete) == ((), False)
    assert nothing.searched_back_to is not None
    assert (nothing.next, "rows=10" in nothing.left_out[0].why) == (None, True)
    page = reader.runs(wanted, limit=9)
    met = [key_of(run) for run in page.items]
    while page.next is not None:
        page = reader.runs(wanted, cursor=page.next, limit=9)
        met += [key_of(run) for run in page.items]
    assert met == expected


def test_run_keys_of_the_oracle_are_told_apart() -> None:
    """The fleet holds a run id that several runs share: else nothing above would show that they are told apart."""
    assert len({run_key(each) for each in fleet() if each.run_id == "same"}) == 4
