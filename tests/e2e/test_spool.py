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
from producing import given
from spooling import (
    LOGS_THEN_DIES,
    NOWHERE,
    delivered,
    drained,
    environment,
    numbers,
    producer_config,
    run_program,
    spool_without_a_broker,
    status_of,
    with_partitions,
)
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.folder import segments
from trailhouse.producer.spool.root import folders
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryRejectedError,
    DeliveryTimeoutError,
    SpoolDamagedError,
    SpoolFullError,
)
from waiting import DEADLINE_SECONDS, eventually

AWAY = KafkaConfig(bootstrap_servers=NOWHERE)

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


def log_many(audit: AuditLogger, count: int, **data: object) -> None:
    """Log *count* events of one session."""
    for n in range(count):
        audit.log("tick", session_id="s", data={"n": n, **data})


def test_a_killed_process_loses_nothing_that_it_logged(kafka: KafkaConfig, folder: Path) -> None:
    """After kill -9 the next logger sends what was left before anything of its own, in order."""
    ended = run_program(LOGS_THEN_DIES, kafka, folder)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [each.state for each in status_of(folder).spools] == ["orphan"]

    with AuditLogger(producer_config(kafka, folder)) as audit:
        audit.log("tick", session_id="s", data={"n": 300})
    assert numbers(kafka) == list(range(301))
    assert status_of(folder).spools == (), "expected no spool once everything is acknowledged"


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
    found = [event.data["n"] for event in delivered(with_partitions(later, 1))]
    assert found == list(range(3_000))


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
    found = [event.data["n"] for event in delivered(with_partitions(small, 1))]
    assert found == [n for n in range(200) if n != 77]
    assert (stats.refused_total, stats.acknowledged_total) == (1, 199)
    assert status_of(folder).quarantined_bytes > 5_000


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
    assert [event.data["n"] for event in delivered(with_partitions(tight, 1))] == [0, 2]


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
    found = [event.data["n"] for event in delivered(with_partitions(later, 1))]
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
