"""`trailhouse skip`: an operator passes over what a partition stands at, and it is written down."""

import pytest

from balancing import Pipe, run_here
from command_line import run_command, settings_of
from trailhouse.broker.admin import KafkaAdmin
from trailhouse.schemas import AuditEvent, KafkaConfig
from trailhouse.store import ClickHouse, ClickHouseConfig

pytestmark = pytest.mark.cluster


def test_what_is_skipped_is_in_every_book(kafka: KafkaConfig, database: ClickHouseConfig) -> None:
    """Only what the group stands at: incident, quarantine, ledger and offset; a second time it is refused."""
    settings = settings_of(kafka, database)
    Pipe(kafka, database).send([AuditEvent(type="a", session_id="s").record] * 3, partition=1)
    reason = ("--reason", "a test")
    for wrong in ("1:1", "1:0-3", "9:0"):
        refused = run_here("skip", wrong, *reason, settings=settings)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused
    assert run_here("skip", "nonsense", *reason, settings=settings).returncode == 2
    dry = run_here("skip", "1:0-1", *reason, "--dry-run", settings=settings)
    assert (dry.returncode, dry.stdout) == (0, b"1:0-1 would be passed over\n")
    group = settings["TRAILHOUSE_WORKER_GROUP_ID"]
    assert KafkaAdmin(kafka).lag(group)[1].committed_offset is None
    done = run_command("skip", "1:0-1", *reason, settings=settings)
    assert done.returncode == 0, done.stderr
    assert KafkaAdmin(kafka).lag(group)[1].committed_offset == 2
    with ClickHouse(database) as store:
        [(kind, detail)] = store.query("SELECT kind, detail FROM incidents").rows
        assert kind == "skipped"
        assert detail.endswith(": a test")
        assert store.query("SELECT kafka_offset, last_offset FROM quarantine").rows == [(0, 1)]
        ledger = "SELECT first_offset, last_offset, stored_rows, quarantined_rows FROM batch_ledger"
        assert store.query(ledger).rows == [(0, 1, 0, 2)]
    again = run_here("skip", "1:0-1", *reason, settings=settings)
    assert b"the group stands at 1:2" in again.stderr
    assert run_here("reconcile", settings=settings).returncode == 0
