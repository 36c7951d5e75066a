"""What else an order of erasure does: it is an event, and nothing comes back by import or requeue."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from erasure_scene import SECRET, Scene, scene_of
from producing import read_topic
from trailhouse.cli.main import main
from trailhouse.proof.keys import create_key_file
from trailhouse.proof.seal import parse_seal
from trailhouse.schemas import KafkaConfig, decode
from trailhouse.schemas.record_hash import record_hash
from trailhouse.store import ClickHouseConfig
from trailhouse.store.erasures import stored_orders
from trailhouse.store.policies import current_policy
from verified_log import START_MS, TOPIC

pytestmark = pytest.mark.cluster


@pytest.fixture
def scene(
    cluster: Cluster,
    kafka: KafkaConfig,
    database: ClickHouseConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """Return a log to be erased from."""
    made = scene_of(cluster, kafka, database, tmp_path, monkeypatch)
    with made.storage:
        yield made


def test_an_order_is_a_sealed_event_that_tells_nothing_of_what_was_erased(
    scene: Scene, kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ordered, the order's number and hash, how many records, how long the reason is; by the service's key."""
    key = scene.folder / "service.pem"
    create_key_file(key)
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_SERVICE", "operations")
    monkeypatch.setenv("TRAILHOUSE_PRODUCER_SEAL_KEY_FILE", str(key))
    assert scene.erase("--subject", "lovelace") == 0
    [order] = stored_orders(scene.storage, current_policy(scene.storage, scene.log.proof)).orders
    records = [message.value() or b"" for message in read_topic(kafka)]
    events = {event.type: event for event in map(decode, records)}
    assert events.keys() == {"audit_erasure", "audit_sealed"}
    assert events["audit_erasure"].data == {
        "operator": "alice",
        "order": 1,
        "order_sha256": order.sha256,
        "digests": 2,
        "reason_characters": len("request 12"),
    }
    seal, _, _ = parse_seal(events["audit_sealed"].data)
    assert (seal.service, seal.first_seq, seal.last_seq) == ("operations", 0, 0)
    assert seal.short_digest(0) == record_hash(events["audit_erasure"].record)[:8]
    for said in (b"request 12", b"lovelace", SECRET.encode()):
        assert not any(said in record for record in records)


def test_what_is_ordered_to_be_erased_is_not_imported(
    scene: Scene,
    kafka: KafkaConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An export of before the order: its lines are named and counted, the others sent; nothing without ClickHouse."""
    file = scene.folder / "exported.jsonl"
    file.write_bytes(b"\n".join([*scene.ada, *scene.bob]) + b"\n")
    assert scene.erase("--subject", "lovelace") == 0
    capsys.readouterr()
    assert main(["import", str(file), "--format", "json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"sent_events": 2, "refused_lines": 0, "erased_lines": 2}
    assert "line 1: not sent: an operator has ordered this record to be erased" in told.err
    erasure, *sent = [message.value() or b"" for message in read_topic(kafka)]
    assert decode(erasure).type == "audit_erasure"
    assert sorted(sent) == sorted(scene.bob)
    monkeypatch.setenv("TRAILHOUSE_CLICKHOUSE_URL", "http://127.0.0.1:1")
    assert main(["import", str(file)]) == 1
    assert len(read_topic(kafka)) == 3


def test_what_is_ordered_to_be_erased_is_not_requeued(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by force either; the order's rows are blank, and one that a backup brings back is known by its bytes."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_TOPIC", TOPIC)
    assert scene.erase("--text", SECRET) == 0
    requeue = ["quarantine", "requeue", "1:0", "--force", "--dry-run"]
    assert main(requeue) == 1
    assert "1:0 not sent: only a part of it is kept" in capsys.readouterr().out
    scene.storage.command("TRUNCATE TABLE event_quarantine")
    scene.log.store_quarantined(scene.bad, 0, START_MS, 1)
    assert main(requeue) == 1
    assert "1:0 not sent: an operator has ordered it to be erased" in capsys.readouterr().out
