"""The index that `trailhouse init --text-index` makes: used, filled, kept, and no answer is another for it."""

import datetime as dt
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from airline_fleet import fleet, store_fleet, store_records
from search_oracle import INJECTIONS, answer, events_of, hostile, same, walk
from stored import event
from trailhouse.operate.erase.blank import blank
from trailhouse.operate.rebuild import rebuild
from trailhouse.operate.text_index import apply_text_index, plan_text_index
from trailhouse.operate.verify.duties.views.shapes import differences, read_shapes, reference_shapes
from trailhouse.query import AuditReader, ReaderConfig, SearchFilter, Words, parse
from trailhouse.query.filtering.words import words_where
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.restore import restore
from trailhouse.store.text_index import DATA, NAME, REMOVE

pytestmark = pytest.mark.cluster

READS = ReaderConfig(cursor_secret="a secret of 32 characters or more", budget_seconds=100)
SINCE = dt.datetime(2026, 10, 2, tzinfo=dt.UTC)
UNTIL = SINCE + dt.timedelta(minutes=30)
TEXTS = [
    "grüße", "café / bar", "47.5", "reservation", "efun", "I'm sorry", "no such words", "a%b", "a_b", "\\%", "\\\\",
    "%%%", "___", "\\_\\_", '"text', "\\n", "\\u0000", "😀", "OR 1=1 --", "é", "ab",
]  # fmt: skip


@pytest.fixture(scope="module")
def indexed(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database whose index was filled with some events, and given others after that."""
    store_fleet(database_of_module, fleet()[:1_000])
    [planned] = plan_text_index(database_of_module, is_wanted=True)
    assert planned.action == "create"
    assert plan_text_index(database_of_module, is_wanted=False) == ()
    assert apply_text_index(database_of_module, is_wanted=False) == ()
    [made] = apply_text_index(database_of_module, is_wanted=True)
    assert (made.subject, made.action) == (planned.subject, "create")
    store_fleet(database_of_module, fleet()[1_000:2_000])
    with ClickHouse(database_of_module) as clickhouse:
        for first_offset in (200_000, 300_000):
            store_records(clickhouse, [each.record for each in hostile()], first_offset)
    return database_of_module


@pytest.fixture(scope="module")
def storage(indexed: ClickHouseConfig) -> Iterator[ClickHouse]:
    """Return a connection to it."""
    with ClickHouse(indexed) as clickhouse:
        yield clickhouse


def granules(storage: ClickHouse, text: str, source: str, data: str = DATA) -> tuple[int, int]:
    """Return how many granules the index leaves of how many, for words that *text* is part of."""
    plan = storage.query(
        f"EXPLAIN indexes = 1 SELECT count() FROM {source} WHERE {data} LIKE {{text:String}}",
        {"text": f"%{text}%"},
    ).rows
    return left_by_the_index(plan)


def left_by_the_index(plan: Sequence[tuple[object, ...]]) -> tuple[int, int]:
    """Return how many granules of how many the index leaves, as *plan* says; -1 where it was not asked."""
    lines = [str(line).strip() for (line,) in plan]
    if f"Name: {NAME}" not in lines:
        return -1, -1
    said = next(
        line for line in lines[lines.index(f"Name: {NAME}") :] if line.startswith("Granules: ")
    )
    left, of = said.removeprefix("Granules: ").split("/")
    return int(left), int(of)


@pytest.mark.parametrize("whole", [False, True])
def test_words_are_the_same_with_the_index(indexed: ClickHouseConfig, whole: bool) -> None:
    """As a substring and as a word: what events have, signs of a pattern, and what is too short."""
    with AuditReader(config=indexed, reads=READS) as reader:
        for text in TEXTS:
            wanted = SearchFilter(words=(Words(text=text, whole=whole),), since=SINCE, until=UNTIL)
            same(events_of(reader.search(wanted, limit=1_000)), answer(wanted)[:1_000])


@pytest.mark.long
@pytest.mark.parametrize("text", INJECTIONS)
def test_any_text_is_the_same_with_the_index(indexed: ClickHouseConfig, text: str) -> None:
    """Every text that a search without it is tested with."""
    with AuditReader(config=indexed, reads=READS) as reader:
        for whole in (False, True):
            wanted = SearchFilter(words=(Words(text=text, whole=whole),), since=SINCE, until=UNTIL)
            found, _ = walk(reader, wanted, limit=1_000)
            same(found, answer(wanted))


def test_it_is_asked_wherever_words_are_looked_for(storage: ClickHouse) -> None:
    """By a search, a count and the view of SQL, over rows from before it and after; words beside words too."""
    for source, data in (("events_as_stored", DATA), ("events", "data")):
        left, of = granules(storage, "zzzabsent", source, data)
        assert (left, of > 0) == (0, True)
        assert granules(storage, "reservation", source, data)[0] > 0
    condition, values = words_where((Words(text="absentees and nobodies"),))
    plan = storage.query(
        f"EXPLAIN indexes = 1 SELECT count() FROM events_as_stored WHERE {condition}", values
    ).rows
    assert left_by_the_index(plan)[0] == 0


def test_words_beside_fields_and_negated(indexed: ClickHouseConfig) -> None:
    """As without it, through a search and a count."""
    with AuditReader(config=indexed, reads=READS) as reader:
        for text in (
            'tool:think "user"',
            'type:message_sent "cancel" -"flight"',
            "refund",
            '-"the"',
        ):
            wanted = parse(f"{text} until:2026-10-01T02:00:00Z")
            expected = answer(wanted)
            same(events_of(reader.search(wanted, limit=1_000)), expected[:1_000])
            assert reader.count(wanted).value == len(expected)


def test_it_is_kept_and_accepted(indexed: ClickHouseConfig, storage: ClickHouse) -> None:
    """Running `init` again, a rebuild and what restores tables leave it; verify finds the tables as they were made."""
    for is_wanted in (True, False):
        [step] = apply_text_index(indexed, is_wanted=is_wanted)
        assert (step.action, step.detail.endswith(" bytes")) == ("keep", True)
    assert restore(indexed) == ()
    assert {each.action for each in rebuild(storage, is_anew=True)} == {"remade"}
    assert granules(storage, "zzzabsent", "events_as_stored")[0] == 0
    assert (
        list(differences(read_shapes(storage, indexed.database), reference_shapes(storage))) == []
    )


def test_what_is_erased_is_not_in_it(storage: ClickHouse) -> None:
    """Once a record is blank, nothing of its text leads to its row, whichever part it stood in."""
    secret = event("erased", data={"text": "xyzzyplugh"})
    store_records(storage, [secret.record], 400_000)
    assert granules(storage, "xyzzyplugh", "events_as_stored")[0] == 1
    assert blank(storage, [record_hash(secret.record)]).rows["event_log"] == 1
    assert granules(storage, "xyzzyplugh", "events_as_stored")[0] == 0
    assert granules(storage, "reservation", "events_as_stored")[0] > 0


def test_another_index_of_that_name_is_left_alone(database: ClickHouseConfig) -> None:
    """It is named with the way out, and never changed; without it `init` makes ours."""
    with ClickHouse(database) as clickhouse:
        clickhouse.command(
            f"ALTER TABLE event_log ADD INDEX {NAME} record TYPE tokenbf_v1(1024, 2, 0)"
        )
        for steps in (
            plan_text_index(database, is_wanted=True),
            apply_text_index(database, is_wanted=True),
            apply_text_index(database, is_wanted=False),
        ):
            assert [(each.action, REMOVE in each.detail) for each in steps] == [("differs", True)]
        clickhouse.command(REMOVE)
    assert [each.action for each in apply_text_index(database, is_wanted=True)] == ["create"]


def test_a_call_that_was_cut_off_is_waited_for(database: ClickHouseConfig) -> None:
    """ClickHouse goes on filling it; the next call says how much is left, and returns once it is whole."""
    store_fleet(database, fleet()[:50])
    told: list[str] = []
    with ClickHouse(msgspec.structs.replace(database)) as clickhouse:
        clickhouse.command("SYSTEM STOP MERGES event_log")

        def wait(seconds: float) -> None:
            assert seconds > 0
            if len(told) > 1:
                return
            [step] = plan_text_index(database, is_wanted=True)
            assert "parts are to be filled" in step.detail
            clickhouse.command("SYSTEM START MERGES event_log")

        apply_text_index(database, is_wanted=True, report=told.append, wait=wait)
        assert any("3 parts of event_log are left" in each for each in told)
        assert granules(clickhouse, "zzzabsent", "events_as_stored") == (0, 3)
