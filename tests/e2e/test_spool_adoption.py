"""Spools that others have left: adopted in order, whole or damaged, and no hindrance to anybody."""

import os
import resource
import shutil
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from producing import given
from spooling import (
    LOGS_THEN_DIES,
    NOWHERE,
    count_in_topic,
    delivered,
    drained,
    numbers,
    producer_config,
    run_program,
    spool_without_a_broker,
    status_of,
    with_partitions,
)
from trailhouse.producer import AuditLogger
from trailhouse.producer.spool.folder import segments
from trailhouse.producer.spool.metadata import Destination
from trailhouse.producer.spool.root import acquire_adoption_lease, folders
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    DeliveryRejectedError,
    DeliveryTimeoutError,
    SpoolDamagedError,
    SpoolUnavailableError,
)
from waiting import DEADLINE_SECONDS, eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the test's spools, which does not exist yet."""
    return tmp_path / "spool"


def test_a_new_logger_adopts_without_logging(kafka: KafkaConfig, folder: Path) -> None:
    """A logger that starts sends what it finds, although it has nothing to log itself."""
    run_program(LOGS_THEN_DIES, kafka, folder)
    with AuditLogger(producer_config(kafka, folder)) as audit:
        eventually(lambda: audit.stats().adopted_total > 0, "an adopted spool")
    assert numbers(kafka) == list(range(300))


def test_a_flipped_bit_costs_one_event_and_is_told(
    kafka: KafkaConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged event is set aside, byte for byte, and logged; all others are sent."""
    spool_without_a_broker(folder, 100, kafka.topic)
    [(_, file)] = segments(folders(folder)[0])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)

    with pytest.raises(SpoolDamagedError, match="1 events were damaged"):
        drained(producer_config(kafka, folder))
    assert len(set(range(100)) - set(numbers(kafka))) == 1
    assert status_of(folder).quarantined_bytes > 200
    assert "damaged bytes of a spool were set aside" in caplog.text


def test_a_living_logger_keeps_its_spool(kafka: KafkaConfig, folder: Path) -> None:
    """Nobody takes the spool of a logger that runs, however little it gets rid of."""
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=kafka.topic)
    audit = AuditLogger(producer_config(away, folder))
    audit.log("tick", session_id="s", data={"n": 0})
    assert drained(producer_config(kafka, folder)) == 0
    assert [each.state for each in status_of(folder).spools] == ["live"]
    audit.close(0.0)
    assert drained(producer_config(kafka, folder)) == 1


def test_a_spool_for_another_broker_is_left_alone(kafka: KafkaConfig, folder: Path) -> None:
    """Events go where they were meant to go, unless somebody says otherwise."""
    spool_without_a_broker(folder, 3, kafka.topic)
    assert drained(producer_config(kafka, folder), any_destination=False) == 0
    assert [each.events for each in status_of(folder).spools] == [3]


def test_damage_that_is_read_settles_nothing_before_it(kafka: KafkaConfig, folder: Path) -> None:
    """A damaged event between one in memory and one on the disk costs itself alone, also after a kill."""
    later = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic + "-later")
    audit = AuditLogger(producer_config(later, folder, queue_events=10))
    receipts = [given(audit.log("tick", session_id="s", data={"n": n})) for n in range(30)]
    [(_, file)] = segments(folders(folder)[0])
    content = bytearray(file.read_bytes())
    size = len(content) // 30
    content[12 * size + 100] ^= 1
    file.write_bytes(content)
    topic = NewTopic(later.topic, 1, 1)
    admin = AdminClient(kafka.client_options())
    admin.create_topics([topic])[later.topic].result(DEADLINE_SECONDS)
    eventually(lambda: receipts[-1].is_settled, "the last event's acknowledgement")
    with pytest.raises(SpoolDamagedError, match="1 events were damaged"):
        audit.flush()
    audit.close()

    with pytest.raises(SpoolDamagedError, match="damaged"):
        receipts[12].result(0.0)
    found = [event.data["n"] for event in delivered(with_partitions(later, 1))]
    assert found == [n for n in range(30) if n != 12]
    assert audit.stats().refused_total == 1


def test_many_orphans_are_sent_with_few_open_files(kafka: KafkaConfig, folder: Path) -> None:
    """However many spools were left, a drain holds a few at a time and sends all, oldest first."""
    for _ in range(60):
        spool_without_a_broker(folder, 1, kafka.topic)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 70, hard)
    )
    try:
        assert drained(producer_config(kafka, folder)) == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert status_of(folder).spools == ()


def test_one_process_at_a_time_adopts(kafka: KafkaConfig, folder: Path) -> None:
    """While another process sends what dead loggers left, a new logger's own events wait their turn."""
    spool_without_a_broker(folder, 3, kafka.topic)
    config = producer_config(kafka, folder)
    turn = acquire_adoption_lease(
        folder, Destination(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic)
    )
    assert turn is not None, "expected to be the one who adopts"
    with AuditLogger(config) as audit:
        receipt = given(audit.log("tick", session_id="s", data={"n": 0}))
        with pytest.raises(DeliveryTimeoutError):
            receipt.result(0.5)
        assert count_in_topic(kafka) == 0
        turn.close()
        receipt.result(DEADLINE_SECONDS)


def test_a_kill_while_a_spool_is_removed_leaves_nothing_to_be_found(
    kafka: KafkaConfig, folder: Path
) -> None:
    """A process that dies in the middle of removing its settled spool leaves no spool behind."""
    program = """
import os, pathlib
from trailhouse.producer import AuditLogger
pathlib.Path.unlink = lambda *_, **__: os._exit(9)
with AuditLogger() as audit:
    audit.log("tick", session_id="s", data={"n": 0})
"""
    ended = run_program(program, kafka, folder)
    assert ended.returncode == 9, ended.stderr
    assert numbers(kafka) == [0]
    assert status_of(folder).spools == ()


def test_what_a_neighbour_left_stops_nobody(kafka: KafkaConfig, folder: Path) -> None:
    """Adopted events over our own limit are sent, as the broker takes them, and ours go out after them."""
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=kafka.topic)
    neighbour = AuditLogger(producer_config(away, folder))
    neighbour.log("tick", session_id="s", data={"n": 0, "text": "x" * 500_000})
    neighbour.log("tick", session_id="s", data={"n": 1})
    neighbour.close(0.0)
    for path in folders(folder):
        text = (path / "destination").read_text().replace(NOWHERE, kafka.bootstrap_servers)
        (path / "destination").write_text(text)
    config = producer_config(kafka, folder, max_event_bytes=100_000)
    with AuditLogger(config) as audit:
        given(audit.log("tick", session_id="s", data={"n": 2})).result(DEADLINE_SECONDS)
    assert numbers(kafka) == [0, 1, 2]


def test_an_adopted_event_that_the_client_refuses_stops_nobody(
    kafka: KafkaConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What librdkafka itself refuses is set aside and told; all before and after it is sent."""
    spool_without_a_broker(folder, 1, kafka.topic)
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=kafka.topic)
    neighbour = AuditLogger(producer_config(away, folder))
    neighbour.log("tick", session_id="s", data={"n": 1, "text": "x" * 50_000})
    neighbour.log("tick", session_id="s", data={"n": 2})
    neighbour.close(0.0)
    for path in folders(folder):
        text = (path / "destination").read_text().replace(NOWHERE, kafka.bootstrap_servers)
        (path / "destination").write_text(text)
    monkeypatch.setattr("trailhouse.producer.delivery.sender.MAX_RECORD_BYTES", 10_000)
    audit = AuditLogger(producer_config(kafka, folder))
    given(audit.log("tick", session_id="s", data={"n": 3})).result(DEADLINE_SECONDS)
    with pytest.raises(DeliveryRejectedError, match="refuses event"):
        audit.close()
    assert numbers(kafka) == [0, 2, 3]
    assert [path.suffix for path in (folder / "quarantine").iterdir()] == [".refused"]


def test_a_copied_spool_is_sent_again_with_the_same_ids(kafka: KafkaConfig, folder: Path) -> None:
    """A backup that is restored costs records, never events: each has the id that it had."""
    spool_without_a_broker(folder, 3, kafka.topic)
    [path] = folders(folder)
    copy = path.with_name(f"{int(path.name[:10]) + 1:010d}{path.name[10:]}")
    shutil.copytree(path, copy)
    assert drained(producer_config(kafka, folder)) == 6
    assert numbers(kafka) == [0, 1, 2]  # of each id the first
    assert count_in_topic(kafka) == 6
    assert not folders(folder)


def test_a_spool_that_cannot_be_read_stops_no_other(
    kafka: KafkaConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken orphan is told and left as it is; the others are sent, and so is what is logged now."""
    for _ in range(3):
        spool_without_a_broker(folder, 2, kafka.topic)
    broken = folders(folder)[1]
    (broken / "00000001.seg").unlink()
    (broken / "00000001.seg").mkdir()
    with pytest.raises(SpoolUnavailableError, match=r"1 spools .* cannot be read"):
        drained(producer_config(kafka, folder))
    with AuditLogger(producer_config(kafka, folder)) as audit:
        given(audit.log("tick", session_id="s", data={"n": 7})).result(DEADLINE_SECONDS)
    assert numbers(kafka) == [0, 1, 0, 1, 7]
    assert f"the spool {broken.name}" in caplog.text
    assert [path.name for path in folders(folder)] == [broken.name]


def test_events_that_were_cut_off_are_told(kafka: KafkaConfig, folder: Path) -> None:
    """A drain of a spool whose end is gone sends what is left, and says how many are missing, at least."""
    spool_without_a_broker(folder, 100, kafka.topic)
    [(_, file)] = segments(folders(folder)[0])
    os.truncate(file, file.stat().st_size // 3)
    with pytest.raises(SpoolDamagedError, match=r"\d\d events were damaged"):
        drained(producer_config(kafka, folder))
    assert 20 < len(numbers(kafka)) < 40


def test_a_logger_that_is_closed_at_once_has_sent_what_was_left(
    kafka: KafkaConfig, folder: Path
) -> None:
    """Closing waits for what the sender is still to find, though nothing was logged."""
    for n in range(5):
        spool_without_a_broker(folder, 1, kafka.topic)
        for path in folders(folder):
            text = (path / "destination").read_text().replace(NOWHERE, kafka.bootstrap_servers)
            (path / "destination").write_text(text)
        AuditLogger(producer_config(kafka, folder)).close()
        assert count_in_topic(kafka) == n + 1
