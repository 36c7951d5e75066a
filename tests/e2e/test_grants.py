"""Who may do what in ClickHouse: the grants that docs/cluster.md names suffice, and nothing less is silent."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from granted_clickhouse import EVERYTHING, OWNER, granted
from proven import LOG_NAME, ProvenLog
from stored import block_of, count, event, in_order
from trailhouse.anchoring.configured import configured_anchorer
from trailhouse.broker.origin import Origin
from trailhouse.consumer.batch.erasure_orders import ErasureOrders
from trailhouse.consumer.batch.ledger import Ledger
from trailhouse.consumer.monitoring.incident import Incident
from trailhouse.consumer.monitoring.missing_events import missing_events
from trailhouse.operate.erase.orders import Operator, erase
from trailhouse.operate.erase.sought import Sought, find
from trailhouse.operate.proof_keys.proof_state import proof_state
from trailhouse.operate.rebuild import rebuild
from trailhouse.operate.stored_offsets import expired, held
from trailhouse.operate.verify.duties.views.reader_settings import settings_of_ours
from trailhouse.operate.verify.duties.views.shadowing import shadowing_functions
from trailhouse.proof.config import ProofConfig
from trailhouse.proof.keys import create_key_file, note_signed
from trailhouse.proof.policy import owner_name
from trailhouse.proof.policy_changes import first_policy, key_text, with_operator
from trailhouse.query import AuditReader
from trailhouse.schemas.errors import StorageLimitError, StorageRejectedError
from trailhouse.schemas.ranges import Range, Ranges
from trailhouse.store import ClickHouse, ClickHouseConfig
from trailhouse.store.migrate import check, migrate
from trailhouse.store.parts import fullest_table
from trailhouse.store.policies import store_policy
from trailhouse.store.restore import restore
from trailhouse.store.sequences import held_seqs, unnumbered

pytestmark = pytest.mark.cluster

CLUSTER = Path(__file__).parents[2] / "docs" / "cluster.md"


def documented(role: str) -> tuple[str, ...]:
    """Return the grants that the documents name for *role*."""
    [block] = re.findall(r"```sql\n(-- init\n.*?)```", CLUSTER.read_text(), re.DOTALL)
    [statements] = re.findall(rf"^-- {role}\n((?:GRANT .*\n)+)", block, re.MULTILINE)
    return tuple(re.findall(r"^(GRANT .*) TO trailhouse_\w+;$", statements, re.MULTILINE))


INIT, WORKER, READER, AUDITOR, ERASER = (
    documented(role) for role in ("init", "worker", "reader", "auditor", "eraser")
)
GRANTS = {"init": INIT, "worker": WORKER, "reader": READER, "auditor": AUDITOR}
EVENTS = [event("s", tenant_id=tenant) for tenant in ("a", "b", "b")]

As = Callable[..., AbstractContextManager[ClickHouseConfig]]

_VIEWS = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%View'"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the tables and three events, made by users with the documented grants alone."""
    folder = tmp_path_factory.mktemp("granted")
    with granted(folder, INIT) as config:
        migrate(config)
    # The engine knows one caller, `default`: the views get the rights of somebody who keeps them.
    with granted(folder, EVERYTHING) as config, ClickHouse(config) as clickhouse:
        for (view,) in clickhouse.query(_VIEWS).rows:
            clickhouse.command(f"ALTER TABLE {view} MODIFY DEFINER = {OWNER} SQL SECURITY DEFINER")
    with granted(folder, WORKER) as config, ClickHouse(config) as clickhouse:
        check(config)
        clickhouse.insert(block_of(in_order(EVENTS)))
    return folder


@pytest.fixture
def as_user(made: Path, tmp_path: Path) -> As:
    """Return `granted` on a copy of what was made."""
    shutil.copytree(made, tmp_path / "clickhouse", symlinks=True)

    def start(
        grants: tuple[str, ...], profile: str = ""
    ) -> AbstractContextManager[ClickHouseConfig]:
        return granted(tmp_path / "clickhouse", grants, profile)

    return start


def test_a_reader_reads_by_the_documented_grants(as_user: As) -> None:
    """Views and `schema_migrations` suffice for every question, and the tables stay out of reach."""
    with as_user(READER, "<readonly>2</readonly>") as config:
        with AuditReader(config=config) as reader:
            assert reader.get_audit_log("s") == EVENTS
            assert reader.overview().stored == len(EVENTS)
            assert reader.count_by_type() == {"message_sent": len(EVENTS)}
            assert reader.timeline("s").value.events == len(EVENTS)
            assert reader.compare("no", "such runs").value.a.events == 0
            assert reader.approvals().value.approvals == ()
            assert reader.anomalies().complete
        with ClickHouse(config) as clickhouse:
            assert count(clickhouse, "quarantine") == 0
            assert count(clickhouse, "events") == count(clickhouse, "events_by_time") == len(EVENTS)
            assert count(clickhouse, "sessions") == 2
            for view in ("runs", "token_usage", "tool_calls", "approvals", "usage_by_time"):
                assert count(clickhouse, view) == 0
            for table in (
                "event_log",
                "event_index",
                "event_usage",
                "event_quarantine",
                "batch_ledger",
            ):
                with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"):
                    count(clickhouse, table)
            with pytest.raises(StorageRejectedError):
                clickhouse.command("ALTER TABLE event_log DELETE WHERE 1")


def test_a_log_is_proven_anchored_and_erased_by_the_documented_grants(
    as_user: As, tmp_path: Path
) -> None:
    """`init` stores policies, the worker leaves, checkpoints and anchors, the eraser orders and blanks rows."""
    folder = tmp_path / "keys"
    folder.mkdir()
    log, owner, alice = (
        create_key_file(folder / name) for name in ("log.key", "owner.key", "alice.key")
    )
    proof = ProofConfig(
        log_name=LOG_NAME, key_file=str(folder / "log.key"), owner_key=key_text(owner.public_key)
    )
    first = first_policy(LOG_NAME, log.public_key)
    policy = with_operator(first, "alice", alice.public_key)
    with as_user(INIT) as config, ClickHouse(config) as clickhouse:
        for each in (first, policy):
            store_policy(clickhouse, each, note_signed(each.text, owner, owner_name(LOG_NAME)))
    with as_user(WORKER) as config, ClickHouse(config) as clickhouse:
        ProvenLog(clickhouse, proof).store({0: EVENTS})
        assert ErasureOrders(clickhouse, proof).among([]) == frozenset()
        assert configured_anchorer(clickhouse, proof).run().anchor.anchor.number == 1
    with as_user(ERASER) as config, ClickHouse(config) as clickhouse:
        found = find(clickhouse, Sought(session="s", tenant="b"))
        who = Operator(name="alice", signer=alice)
        assert len(found.digests) == 2
        assert erase(clickhouse, policy, who, found, reason="r").blanked.rows["event_log"] >= 2
        with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED"):
            clickhouse.command("ALTER TABLE log_leaves DELETE WHERE 1")
        with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED"):
            clickhouse.command("ALTER TABLE event_log DELETE WHERE 1")
    with as_user(READER, "<readonly>2</readonly>") as config:
        with AuditReader(config=config) as reader:
            assert reader.get_audit_log("s") == EVENTS[:1]
        state = proof_state(config, proof)
        assert (state.policy_version, state.last_anchor) == (0, 0)
        assert state.unknown == "not told to this user: ask as the auditor of docs/cluster.md"
    with as_user(AUDITOR) as config:
        state = proof_state(config, proof)
        assert (state.policy_version, state.last_anchor, state.unknown) == (2, 1, "")


@pytest.fixture(scope="module")
def config_of_role(
    request: pytest.FixtureRequest, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClickHouseConfig]:
    """Return a server for whoever has a role's rights; all that is asked of it is refused."""
    folder = tmp_path_factory.mktemp("role") / "clickhouse"
    shutil.copytree(made, folder, symlinks=True)
    with granted(folder, GRANTS[request.param]) as config:
        yield config


def roles(*names: str) -> pytest.MarkDecorator:
    """Run a test for each of the roles, all tests of a role on one server."""
    return pytest.mark.parametrize("config_of_role", names, indirect=True, scope="module")


WRITTEN = ("event_log", "event_quarantine", "batch_ledger", "event_incidents")
DERIVED = ("event_index", "event_usage")
KEPT_FROM_ALL = (
    "ALTER TABLE {table} DELETE WHERE 1",
    "ALTER TABLE {table} UPDATE kafka_topic = 'x' WHERE 1",
    "ALTER TABLE {table} DROP COLUMN kafka_topic",
    "ALTER TABLE {table} DROP PARTITION ID 'all'",
    "DELETE FROM {table} WHERE 1",
    "DROP TABLE {table}",
    "TRUNCATE TABLE {table}",
    "OPTIMIZE TABLE {table} FINAL",
    "RENAME TABLE {table} TO gone",
    "EXCHANGE TABLES {table} AND schema_migrations",
)


@roles("worker", "reader", "auditor")
def test_nobody_takes_back_what_is_stored(config_of_role: ClickHouseConfig) -> None:
    """Whoever has a role's rights can neither change, delete, drop, empty, merge nor rename what is there."""
    with ClickHouse(config_of_role) as clickhouse:
        for statement in KEPT_FROM_ALL:
            for table in (*WRITTEN, *DERIVED):
                with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"):
                    clickhouse.command(statement.format(table=table))
        with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"):
            clickhouse.command("DROP VIEW events")


@roles("worker", "reader", "auditor")
def test_init_alone_says_which_migrations_there_are(config_of_role: ClickHouseConfig) -> None:
    """A row that would stop every reader and worker cannot be written with another role's rights."""
    forged = "INSERT INTO schema_migrations (number, name, sha256) VALUES (99, 'later', 'f')"
    with (
        ClickHouse(config_of_role) as clickhouse,
        pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"),
    ):
        clickhouse.command(forged)
    check(config_of_role)


@roles("worker", "reader", "auditor")
def test_what_is_derived_is_written_with_the_log_alone(config_of_role: ClickHouseConfig) -> None:
    """Nobody but `init`, whose rights the views have, can write a row that an answer would be made from."""
    with ClickHouse(config_of_role) as clickhouse:
        for table in DERIVED:
            with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"):
                clickhouse.command(f"INSERT INTO {table} (session_id) VALUES ('s')")


@roles("reader", "auditor", "init")
def test_the_worker_alone_writes_what_is_stored(config_of_role: ClickHouseConfig) -> None:
    """Whoever reads or checks the books, or makes the tables, cannot write a row into them."""
    with ClickHouse(config_of_role) as clickhouse:
        for table in WRITTEN:
            with pytest.raises(StorageRejectedError, match=r"ACCESS_DENIED \(497\)"):
                clickhouse.command(f"INSERT INTO {table} (kafka_topic) VALUES ('t')")


def test_a_worker_works_by_the_documented_grants(as_user: As) -> None:
    """It writes its four tables, and asks its ledger, its incidents, for missing events and for parts."""
    origin = Origin("cluster-1", "trailhouse.events", "topic-1")
    with as_user(WORKER) as config, ClickHouse(config) as clickhouse:
        for table in WRITTEN:
            clickhouse.command(f"INSERT INTO {table} (kafka_topic) VALUES ('t')")
        ledger = Ledger(clickhouse, origin)
        assert ledger.covered({0: (0, 9)}) == {0: Ranges()}
        assert ledger.noted(Incident("expired", 0, 0, 9)) == Ranges()
        assert missing_events(clickhouse) == 0
        assert fullest_table(clickhouse).parts > 0


def test_the_books_are_checked_by_the_documented_grants(as_user: As) -> None:
    """Nothing more than to read is needed to count what is stored and what is missing."""
    with as_user(AUDITOR) as config, ClickHouse(config) as clickhouse:
        check(config)
        origin = Origin("cluster-1", "trailhouse.events", "topic-1")
        assert held(clickhouse, origin, {0: Range(0, 9)}) == {0: Ranges([(0, 2)])}
        assert held_seqs(clickhouse) == []
        assert missing_events(clickhouse) == 0
        assert unnumbered(clickhouse) == len(EVENTS)
        assert expired(clickhouse, origin, None) == {}


def test_an_auditor_sees_who_may_stand_before_the_rows(as_user: As) -> None:
    """By the documented grants `verify` leaves none of these unchecked; without them it would say so."""
    with as_user(AUDITOR) as config, ClickHouse(config) as clickhouse:
        for table in ("row_policies", "masking_policies", "settings_profile_elements"):
            clickhouse.query(f"SELECT count() FROM system.{table}", in_database=False)
        [(may_see,)] = clickhouse.query("CHECK GRANT SHOW HANDLERS ON *.*", in_database=False).rows
        assert may_see == 1, "expected to see the handlers of HTTP"


@pytest.mark.long
def test_an_auditor_sees_the_functions_that_others_have_made(as_user: As) -> None:
    """Also one that stands for an aggregate of ClickHouse's, in what he asks himself."""
    with as_user(EVERYTHING) as config, ClickHouse(config) as clickhouse:
        clickhouse.command("CREATE FUNCTION countIf AS (is_it) -> 0")
    with as_user(AUDITOR) as config, ClickHouse(config) as clickhouse:
        assert shadowing_functions(clickhouse) == ("countIf",)
    with as_user(EVERYTHING) as config, ClickHouse(config) as clickhouse:
        clickhouse.command("DROP FUNCTION countIf")
        assert shadowing_functions(clickhouse) == ()


@pytest.mark.parametrize("missing", ["events", "schema_migrations"])
def test_a_missing_grant_is_named(as_user: As, missing: str) -> None:
    """One line says which grant it is; nobody is sent to `trailhouse init` for it."""
    grants = tuple(grant for grant in READER if not grant.endswith(missing))
    with (
        as_user(grants) as config,
        AuditReader(config=config) as reader,
        pytest.raises(
            StorageRejectedError, match=rf"grant SELECT(\(.*\))? ON trailhouse\.{missing} to"
        ),
    ):
        reader.get_audit_log("s")


@pytest.mark.long
@pytest.mark.parametrize("missing", ["CREATE TABLE", "DROP VIEW", "ALTER ADD COLUMN", "INSERT"])
def test_init_without_a_grant_names_it(tmp_path: Path, missing: str) -> None:
    """`init` stops where it may not go on, says why, and goes on once it may."""
    grants = tuple(
        grant.replace(f"{missing}, ", "").replace(f", {missing}", "")
        for grant in INIT
        if not grant.startswith(f"GRANT {missing} ON")
    )
    folder = tmp_path / "clickhouse"
    with (
        granted(folder, grants) as config,
        pytest.raises(StorageRejectedError, match=f"grant .*{missing}.* ON trailhouse"),
    ):
        migrate(config)
    with granted(folder, INIT) as config:
        migrate(config)
        check(config)


def test_init_restores_a_view_by_its_documented_grants(as_user: As) -> None:
    """What was dropped is made anew with the rights that made it, and no others."""
    with as_user(EVERYTHING) as config, ClickHouse(config) as clickhouse:
        clickhouse.command("DROP VIEW events SYNC")
    with as_user(INIT) as config:
        assert restore(config) == ("view events",)
        assert restore(config) == ()


def test_what_follows_from_the_log_is_made_anew_by_the_grants_of_init(as_user: As) -> None:
    """Made beside and exchanged, with the rights that made it and no others."""
    with as_user(INIT) as config, ClickHouse(config) as clickhouse:
        assert [each.action for each in rebuild(clickhouse, is_anew=True)] == ["remade", "remade"]
        assert count(clickhouse, "events_by_time") == len(EVENTS)


def test_a_profile_that_forbids_a_time_limit_is_named(as_user: As) -> None:
    """Each statement is bounded in time by a setting: a profile that pins it is told, with the way out."""
    pinned = "<constraints><max_execution_time><const/></max_execution_time></constraints>"
    with (
        as_user(READER, pinned) as config,
        AuditReader(config=config) as reader,
        pytest.raises(StorageRejectedError, match="forbids to set max_execution_time; give it"),
    ):
        reader.get_audit_log("s")


def test_a_filter_that_a_profile_pins_on_the_view_holds(as_user: As) -> None:
    """What keeps tenants apart in ClickHouse keeps them apart in every answer of ours."""
    only_a = (
        "<additional_table_filters>{'trailhouse.events': 'tenant_id = \\'a\\''}</additional_table_filters>"
        "<constraints><additional_table_filters><const/></additional_table_filters></constraints>"
    )
    with as_user(READER, only_a) as config, AuditReader(config=config) as reader:
        assert reader.get_audit_log("s") == EVENTS[:1]
        assert reader.overview().stored == 1
        assert reader.count_by_type() == {"message_sent": 1}


_TWISTED = (
    "<limit>1</limit><final>1</final>"
    "<transform_null_in>1</transform_null_in><join_use_nulls>1</join_use_nulls>"
    "<group_by_overflow_mode>any</group_by_overflow_mode><read_overflow_mode>break</read_overflow_mode>"
    "<session_timezone>Asia/Tokyo</session_timezone><count_distinct_implementation>uniqHLL12</count_distinct_implementation>"
    "<enable_positional_arguments>0</enable_positional_arguments><union_default_mode>DISTINCT</union_default_mode>"
)


def test_a_profile_does_not_change_what_a_statement_of_ours_says(as_user: As) -> None:
    """Settings that hide rows, cut answers short or change what an expression gives are at ClickHouse's default."""
    with as_user(READER, _TWISTED) as config:
        with AuditReader(config=config) as reader:
            assert reader.get_audit_log("s") == EVENTS
            assert reader.overview().stored == len(EVENTS)
        with ClickHouse(config) as clickhouse:
            assert settings_of_ours(clickhouse) == ()
            assert [row[0] for row in clickhouse.query("SELECT number FROM numbers(3)").rows] == [
                0,
                1,
                2,
            ]
            with pytest.raises(StorageLimitError, match="TOO_MANY_ROWS"):
                clickhouse.query(
                    "SELECT number FROM numbers(3) GROUP BY number",
                    settings={"max_rows_to_group_by": "1"},
                )


def test_what_a_profile_forbids_to_set_back_is_told(as_user: As) -> None:
    """Nobody calls an answer right that a setting has changed which he may not change."""
    fixed = (
        "<count_distinct_implementation>uniqHLL12</count_distinct_implementation>"
        "<additional_table_filters>{'system.settings': '0'}</additional_table_filters>"
        "<constraints><count_distinct_implementation><const/></count_distinct_implementation></constraints>"
    )
    with as_user(READER, fixed) as config, ClickHouse(config) as clickhouse:
        assert settings_of_ours(clickhouse) == ("additional_table_filters",)
    fixed = fixed.replace("{'system.settings': '0'}", "{}")
    with as_user(READER, fixed) as config, ClickHouse(config) as clickhouse:
        assert settings_of_ours(clickhouse) == ("count_distinct_implementation",)
