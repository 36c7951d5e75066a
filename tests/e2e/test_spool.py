"""The spool: what `log` has taken is delivered, in order, whatever becomes of the process."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from command_line import run_command
from producing import eventually, given
from spooling import (
    NOWHERE,
    count_in_topic,
    delivered,
    drained,
    environment,
    producer_config,
    run_program,
    status_of,
)
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool_folder import segments
from trailhouse.producer.spool_notes import Destination
from trailhouse.producer.spool_root import folders, take_turn
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryRejectedError,
    DeliveryTimeoutError,
    SpoolDamagedError,
    SpoolFullError,
    SpoolUnavailableError,
)
from waiting import DEADLINE_SECONDS

AWAY = KafkaConfig(bootstrap_servers=NOWHERE)

LOGS_THEN_DIES = """
import os, signal
from trailhouse.producer import AuditLogger
audit = AuditLogger()
for n in range(300):
    audit.log("tick", session_id="s", data={"n": n})
os.kill(os.getpid(), signal.SIGKILL)
"""
LOGS_UNTIL_KILLED = """
import sys
from trailhouse.producer import AuditLogger
audit = AuditLogger()
n = 0
while True:
    audit.log("tick", session_id="s", data={"n": n})
    n += 1
    sys.stdout.write("x")
    sys.stdout.flush()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the test's spools, which does not exist yet."""
    return tmp_path / "spool"


def numbers(kafka: KafkaConfig) -> list[int]:
    """Return the numbers that a test's events carry, in the order of the topic."""
    return [event.data["n"] for event in delivered(kafka)]


def log_many(audit: AuditLogger, count: int, **data: object) -> None:
    """Log *count* events of one session."""
    for n in range(count):
        audit.log("tick", session_id="s", data={"n": n, **data})


def spool_without_a_broker(folder: Path, count: int, topic: str, **fields: object) -> None:
    """Leave *count* events in an orphaned spool."""
    away = KafkaConfig(bootstrap_servers=NOWHERE, topic=topic)
    audit = AuditLogger(producer_config(away, folder, **fields))
    for n in range(count):
        audit.log("tick", session_id="s", data={"n": n})
    audit.close(0.0)


def test_a_killed_process_loses_nothing_that_it_logged(kafka: KafkaConfig, folder: Path) -> None:
    """After kill -9 the next logger sends what was left before anything of its own, in order."""
    ended = run_program(LOGS_THEN_DIES, kafka, folder)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [each.state for each in status_of(folder).spools] == ["orphan"]

    with AuditLogger(producer_config(kafka, folder)) as audit:
        audit.log("tick", session_id="s", data={"n": 300})
    assert numbers(kafka) == list(range(301))
    assert status_of(folder).spools == (), "expected no spool once everything is acknowledged"


def test_a_new_logger_adopts_without_logging(kafka: KafkaConfig, folder: Path) -> None:
    """A logger that starts sends what it finds, although it has nothing to log itself."""
    run_program(LOGS_THEN_DIES, kafka, folder)
    with AuditLogger(producer_config(kafka, folder)) as audit:
        eventually(lambda: audit.stats().adopted_total > 0, "an adopted spool")
    assert numbers(kafka) == list(range(300))


@pytest.mark.parametrize("after_bytes", [1, 7, 40, 200, 1_000])
def test_a_kill_at_any_moment_loses_nothing_that_log_returned(
    kafka: KafkaConfig, folder: Path, after_bytes: int
) -> None:
    """Of a process killed while it logs, every event whose `log` had returned arrives, in order."""
    with subprocess.Popen(
        [sys.executable, "-c", LOGS_UNTIL_KILLED],
        env=environment(kafka, folder, {}),
        stdout=subprocess.PIPE,
        cwd=folder.parent,
    ) as process:
        assert process.stdout is not None
        returned = len(process.stdout.read(after_bytes))
        process.kill()
        returned += len(process.stdout.read())
    drained(producer_config(kafka, folder))
    found = numbers(kafka)

    assert found == list(range(len(found)))
    assert len(found) in {returned, returned + 1}, (
        "expected what log returned, and at most one more"
    )


def test_more_than_memory_holds_waits_in_order(kafka: KafkaConfig, folder: Path) -> None:
    """While the broker does not take events, memory stays bounded, and all come in order afterwards."""
    later = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic + "-later")
    config = producer_config(later, folder, queue_events=100, spool_segment_bytes=1_000_000)
    with AuditLogger(config) as audit:
        receipts = [
            given(audit.log("tick", session_id="s", data={"n": n, "text": "x" * 700}))
            for n in range(3_000)
        ]
        stats = audit.stats()
        assert stats.queued_events == 3_000
        assert stats.queued_bytes < 200_000, "expected the rest on the disk alone"
        topic = NewTopic(later.topic, 1, 1)
        admin = AdminClient(kafka.client_options())
        admin.create_topics([topic])[later.topic].result(DEADLINE_SECONDS)
        eventually(lambda: receipts[-1].is_settled, "the last event's acknowledgement")
        assert receipts[1_500].result(DEADLINE_SECONDS)
        eventually(
            lambda: [number for number, _ in segments(folders(folder)[0])] != [1, 2, 3],
            "freed segments",
        )
    found = [event.data["n"] for event in delivered(_with_partitions(later, 1))]
    assert found == list(range(3_000))


def _with_partitions(kafka: KafkaConfig, partitions: int) -> KafkaConfig:
    return KafkaConfig(
        bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic, partitions=partitions
    )


def test_a_full_spool_blocks_then_raises(folder: Path) -> None:
    """A spool without room holds the caller for its timeout, raises, and keeps what it has."""
    config = producer_config(
        AWAY,
        folder,
        max_event_bytes=100_000,
        spool_segment_bytes=100_000,
        spool_bytes=200_000,
        queue_timeout_seconds=0.2,
        queue_bytes=100_000,
    )
    audit = AuditLogger(config)
    with pytest.raises(SpoolFullError, match="TRAILHOUSE_PRODUCER_SPOOL_BYTES"):
        log_many(audit, 1_000, text="x" * 2_000)
    logged = audit.stats().queued_events
    audit.close(0.0)

    assert 80 < logged < 100
    assert [each.events for each in status_of(folder).spools] == [logged]
    assert audit.stats().queue_full_total == 1


def test_a_full_disk_is_an_error_and_what_follows_is_logged(folder: Path) -> None:
    """A write that the disk refuses raises, leaves no half frame, and later events are logged."""
    audit = AuditLogger(producer_config(AWAY, folder, queue_timeout_seconds=0.05))
    audit.log("tick", session_id="s", data={"n": 0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        with pytest.raises(SpoolFullError, match="is full"):
            log_many(audit, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    logged = audit.stats().queued_events
    audit.log("tick", session_id="s", data={"n": -1})
    audit.close(0.0)

    [left] = status_of(folder).spools
    assert (left.events, left.damaged_ranges) == (logged + 1, 0)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A spool folder that cannot be made is one clear error when the logger is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="TRAILHOUSE_PRODUCER_SPOOL_DIR"):
        AuditLogger(producer_config(AWAY, tmp_path / "file" / "spool"))


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
    assert status_of(folder).set_aside_bytes > 200
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


def test_a_forked_child_has_a_spool_of_its_own(kafka: KafkaConfig, folder: Path) -> None:
    """A child that ends by os._exit leaves its own events, and the parent's are not its."""
    program = """
import os
from trailhouse.producer import AuditLogger
audit = AuditLogger()
audit.log("tick", session_id="s", data={"n": 0}).result()
if (child := os.fork()) == 0:
    audit.log("tick", session_id="s", data={"n": 1})
    os._exit(0)
os.waitpid(child, 0)
audit.log("tick", session_id="s", data={"n": 2}).result()
audit.close()
"""
    ended = run_program(program, kafka, folder)
    assert ended.returncode == 0, ended.stderr
    drained(producer_config(kafka, folder))
    found = delivered(kafka)
    assert sorted(event.data["n"] for event in found) == [0, 1, 2]
    assert len({event.source.producer_id for event in found if event.source}) == 2


def test_levels_of_a_receipt(kafka: KafkaConfig, folder: Path) -> None:
    """A receipt is `spooled` at once, in mode memory never, and `acked` when the broker has it."""
    with AuditLogger(producer_config(kafka, folder, fsync="always")) as audit:
        receipt = given(audit.log("tick", session_id="s", data={"n": 0}, wait=True))
        receipt.wait("spooled", 0.0)
        receipt.wait("acked", 0.0)
        assert receipt.session_id == "s"
    with AuditLogger(producer_config(kafka, folder, mode="memory")) as audit:
        receipt = given(audit.log("tick", session_id="s", data={"n": 1}))
        with pytest.raises(ConfigError, match="MODE=durable"):
            receipt.wait("spooled")
    assert numbers(kafka) == [0, 1]


def test_strict_mode_raises_where_there_is_no_record(folder: Path) -> None:
    """`log(wait=True)` returns only when the broker has the event; else it raises, and it goes on."""
    audit = AuditLogger(producer_config(AWAY, folder))
    with pytest.raises(DeliveryTimeoutError, match="no acknowledgement"):
        audit.log("tick", session_id="s", wait=True, timeout_seconds=0.1)
    assert audit.stats().queued_events == 1
    audit.close(0.0)


def test_mode_memory_counts_what_it_loses(folder: Path) -> None:
    """Without a spool there is no file, and what close could not deliver is counted as lost."""
    audit = AuditLogger(ProducerConfig(kafka=AWAY, spool_dir=str(folder), mode="memory"))
    for _ in range(7):
        audit.log("tick", session_id="s")
    with pytest.raises(DeliveryTimeoutError, match="7 events"):
        audit.close(0.0)
    assert audit.stats().lost_total == 7
    assert not folder.exists()


def test_threads_share_one_spool_in_order(kafka: KafkaConfig, folder: Path) -> None:
    """Of many threads each event is spooled and sent once, each thread's in its order."""
    with AuditLogger(producer_config(kafka, folder, queue_events=50)) as audit:

        def work(name: str) -> None:
            for n in range(300):
                audit.log("tick", session_id=name, data={"n": n})

        threads = [threading.Thread(target=work, args=(f"s{i}",)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    by_session: dict[str, list[int]] = {}
    for event in delivered(kafka):
        by_session.setdefault(event.session_id, []).append(event.data["n"])
    assert by_session == {f"s{i}": list(range(300)) for i in range(4)}


def test_the_commands_show_and_send_what_was_left(kafka: KafkaConfig, folder: Path) -> None:
    """`spool status` counts, `inspect` writes the exact records, `drain` delivers them."""
    spool_without_a_broker(folder, 5, kafka.topic)
    settings = {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
        "TRAILHOUSE_PRODUCER_SPOOL_DIR": os.fspath(folder),
    }
    status = run_command("spool", "status", settings=settings)
    assert b"orphan" in status.stdout, status
    assert b"waiting      5 events in 1 spool" in status.stdout
    inspected = run_command("spool", "inspect", settings=settings)
    assert inspected.stdout.count(b"\n") == 5, inspected
    kept = run_command("spool", "drain", settings=settings)
    assert kept.returncode == 1, kept
    assert kept.stdout.startswith(b"0 events acknowledged\nleft alone: 5 events in 1 spool"), kept
    sent = run_command("spool", "drain", "--any-destination", settings=settings)
    assert (sent.returncode, sent.stdout) == (0, b"5 events acknowledged\n"), sent
    assert sorted(event.record for event in delivered(kafka)) == sorted(
        inspected.stdout.splitlines()
    )
    assert b"waiting      0 events" in run_command("spool", "status", settings=settings).stdout


def test_a_failed_start_leaves_nothing_and_the_next_try_works(folder: Path) -> None:
    """A spool that could not be made for a full disk is made by a later call, and nobody hangs."""
    audit = AuditLogger(producer_config(AWAY, folder, queue_timeout_seconds=0.05))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        with pytest.raises(SpoolFullError, match="is full"):
            audit.log("tick", session_id="s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert status_of(folder).spools == ()
    audit.log("tick", session_id="s")
    audit.close(0.0)
    assert [each.events for each in status_of(folder).spools] == [1]


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
    found = [event.data["n"] for event in delivered(_with_partitions(later, 1))]
    assert found == [n for n in range(30) if n != 12]
    assert audit.stats().refused_total == 1


def test_small_events_are_not_refused_for_a_large_batch(kafka: KafkaConfig, folder: Path) -> None:
    """A topic that takes small batches alone gets every event that fits; one that does not is kept."""
    small = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic + "-small")
    admin = AdminClient(kafka.client_options())
    topic = NewTopic(small.topic, 1, 1, config={"max.message.bytes": "3000"})
    admin.create_topics([topic])[small.topic].result(DEADLINE_SECONDS)
    with AuditLogger(producer_config(small, folder, linger_seconds=0.5)) as audit:
        for n in range(200):
            text = os.urandom(3_000 if n == 77 else 700).hex()
            audit.log("tick", session_id="s", data={"n": n, "text": text})
        with pytest.raises(DeliveryRejectedError, match=r"MSG_SIZE|too large"):
            audit.flush(DEADLINE_SECONDS)
        audit.flush(DEADLINE_SECONDS)
        stats = audit.stats()
    found = [event.data["n"] for event in delivered(_with_partitions(small, 1))]
    assert found == [n for n in range(200) if n != 77]
    assert (stats.refused_total, stats.acknowledged_total) == (1, 199)
    assert status_of(folder).set_aside_bytes > 5_000


def test_an_event_over_the_segment_s_size_is_refused_alone(
    kafka: KafkaConfig, folder: Path
) -> None:
    """A broker may take what its log cannot: such an event is told and set aside, and holds up no other."""
    tight = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic + "-tight")
    admin = AdminClient(kafka.client_options())
    options = {"max.message.bytes": "4000000", "segment.bytes": "1048576"}
    admin.create_topics([NewTopic(tight.topic, 1, 1, config=options)])[tight.topic].result(
        DEADLINE_SECONDS
    )
    with AuditLogger(producer_config(tight, folder, max_event_bytes=3_000_000)) as audit:
        for n in range(3):
            audit.log(
                "tick",
                session_id="s",
                data={"n": n, "text": os.urandom(700_000 if n == 1 else 10).hex()},
            )
        with pytest.raises(
            DeliveryRejectedError, match="larger than configured server segment size"
        ):
            audit.flush(DEADLINE_SECONDS)
        audit.flush(DEADLINE_SECONDS)
    assert [event.data["n"] for event in delivered(_with_partitions(tight, 1))] == [0, 2]


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


def test_a_spool_removed_under_a_logger_is_told_and_begun_anew(
    kafka: KafkaConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When somebody removes a spool that is in use, what is in memory is spooled again, the rest is counted."""
    later = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers, topic=kafka.topic + "-later")
    config = producer_config(later, folder, queue_events=10, fsync_interval_seconds=0.05)
    audit = AuditLogger(config)
    receipts = [given(audit.log("tick", session_id="s", data={"n": n})) for n in range(30)]
    [gone] = folders(folder)
    shutil.rmtree(gone)
    eventually(
        lambda: [each.events for each in status_of(folder).spools] == [10],
        "a new spool with the 10 events in memory",
    )
    eventually(lambda: "somebody has removed the spool" in caplog.text, "a line that says so")
    audit.log("tick", session_id="s", data={"n": 30})
    topic = NewTopic(later.topic, 1, 1)
    admin = AdminClient(kafka.client_options())
    admin.create_topics([topic])[later.topic].result(DEADLINE_SECONDS)
    eventually(lambda: receipts[9].is_settled, "acknowledgement of what was in memory")
    with pytest.raises(SpoolDamagedError, match="20 events"):
        audit.flush(DEADLINE_SECONDS)
    audit.close()
    with pytest.raises(SpoolDamagedError):
        receipts[10].result(0.0)
    found = [event.data["n"] for event in delivered(_with_partitions(later, 1))]
    assert found == [*range(10), 30]
    assert status_of(folder).spools == ()


def test_the_spool_stays_where_it_was_when_the_process_moves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative folder means that of the start: a daemon changes its own later."""
    monkeypatch.chdir(tmp_path)
    audit = AuditLogger(producer_config(AWAY, Path(folder.name)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    audit.log("tick", session_id="s")
    audit.close(0.0)
    assert [each.events for each in status_of(folder).spools] == [1]


def test_one_process_at_a_time_adopts(kafka: KafkaConfig, folder: Path) -> None:
    """While another process sends what dead loggers left, a new logger's own events wait their turn."""
    spool_without_a_broker(folder, 3, kafka.topic)
    config = producer_config(kafka, folder)
    turn = take_turn(
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
    monkeypatch.setattr("trailhouse.producer.sender.MAX_RECORD_BYTES", 10_000)
    audit = AuditLogger(producer_config(kafka, folder))
    given(audit.log("tick", session_id="s", data={"n": 3})).result(DEADLINE_SECONDS)
    with pytest.raises(DeliveryRejectedError, match="refuses event"):
        audit.close()
    assert numbers(kafka) == [0, 2, 3]
    assert [path.suffix for path in (folder / "set_aside").iterdir()] == [".refused"]


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


@pytest.mark.parametrize("timeout_seconds", [float("nan"), -1.0])
def test_a_wait_is_never_for_ever(folder: Path, timeout_seconds: float) -> None:
    """A time-out that is not a number is refused before anything is done; below 0 is no wait."""
    audit = AuditLogger(producer_config(AWAY, folder))
    receipt = given(audit.log("tick", session_id="s"))
    error = ConfigError if timeout_seconds != timeout_seconds else DeliveryTimeoutError
    with pytest.raises(error):
        receipt.result(timeout_seconds)
    with pytest.raises(error):
        audit.flush(timeout_seconds)
    with pytest.raises(error):
        audit.log("tick", session_id="s", wait=True, timeout_seconds=timeout_seconds)
    assert audit.stats().queued_events == 1 + (error is DeliveryTimeoutError)
    audit.close(0.0)


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
