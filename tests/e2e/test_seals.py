"""Seals on a real broker: by loggers that close, that are killed, that fork, and by those that come after them."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from producing import read_topic
from sealing import SERVICE, book_of, claim_of, matches, policy_for, ranges, seal_key, seals_of
from spooling import (
    NOWHERE,
    drained,
    environment,
    producer_config,
    run_program,
    spool_without_a_broker,
    status_of,
)
from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.producer.spool.folder import segments
from trailhouse.producer.spool.root import folders
from trailhouse.proof.seal_check import Match
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import SpoolDamagedError
from waiting import DEADLINE_SECONDS, eventually

LOGS_AND_IS_KILLED = """
import os, signal
from trailhouse.producer import AuditLogger
audit = AuditLogger()
for n in range(25):
    audit.log("tick", session_id="s", data={"n": n})
audit.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
LOGS_IN_A_CHILD_TOO = """
import os
from trailhouse.producer import AuditLogger
audit = AuditLogger()
second = AuditLogger()
for n in range(5):
    audit.log("tick", session_id="s", data={"n": n})
    second.log("tick", session_id="t", data={"n": n})
if child := os.fork():
    os.waitpid(child, 0)
audit.log("tick", session_id="s", data={"n": 5})
if not child:
    audit.close()
    os._exit(0)
"""
LOGS_UNTIL_IT_IS_KILLED = """
import itertools
from trailhouse.producer import AuditLogger
audit = AuditLogger()
for n in itertools.count():
    audit.log("tick", session_id=f"s{n % 7}", data={"n": n})
    if n % 97 == 0:
        print(n, flush=True)
        audit.flush()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the test's spools, which does not exist yet."""
    return tmp_path / "spool"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a file with the service's key."""
    return seal_key(tmp_path)


def sealing(kafka: KafkaConfig, folder: Path, key_file: Path, **fields: object) -> ProducerConfig:
    """Return settings of a logger that seals."""
    given = {"service": SERVICE, "seal_key_file": str(key_file)} | fields
    return producer_config(kafka, folder, **given)


def settings(key_file: Path, **more: str) -> dict[str, str]:
    """Return the same as variables."""
    names = {"seal_key_file": str(key_file), "service": SERVICE} | more
    return {f"TRAILHOUSE_PRODUCER_{name.upper()}": value for name, value in names.items()}


def stored(kafka: KafkaConfig) -> list[bytes]:
    """Return the records of the topic, each once, in order."""
    return list(dict.fromkeys(message.value() or b"" for message in read_topic(kafka)))


def left_behind(kafka: KafkaConfig, folder: Path, key_file: Path, count: int) -> None:
    """Leave *count* events in the spool of a logger that closed while its broker was away."""
    spool_without_a_broker(
        folder, count, kafka.topic, service=SERVICE, seal_key_file=str(key_file), seal_events=10
    )
    destination = folders(folder)[0] / "destination"
    destination.write_text(destination.read_text().replace(NOWHERE, kafka.bootstrap_servers))


def is_all_sealed(kafka: KafkaConfig, key_file: Path) -> bool:
    """Tell whether each record in the topic fits a seal."""
    return set(matches(stored(kafka), policy_for(key_file))) == {Match.FITS}


@pytest.mark.parametrize("mode", ["durable", "memory"])
def test_all_that_a_logger_sends_is_sealed_when_it_has_closed(
    kafka: KafkaConfig, folder: Path, key_file: Path, mode: str
) -> None:
    """Every record fits a seal, and none is left unsealed or in a spool."""
    with AuditLogger(sealing(kafka, folder, key_file, mode=mode, seal_events=10)) as audit:
        for n in range(95):
            audit.log("tick", session_id="s", data={"n": n})
    assert is_all_sealed(kafka, key_file)
    assert ranges(stored(kafka))[-1][2]
    if mode == "durable":
        assert not status_of(folder).spools


def test_a_seal_comes_by_itself_while_nothing_is_logged(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """A logger that rests is sealed in time, and goes on saying that it has logged nothing."""
    with AuditLogger(sealing(kafka, folder, key_file, seal_seconds=1)) as audit:
        audit.log("tick", session_id="s")
        eventually(lambda: len(seals_of(stored(kafka))) >= 2, "two seals")
    first, second, *_ = ranges(stored(kafka))
    assert (first, second) == ((0, 0, False), (1, 1, False))


def test_what_a_killed_logger_had_sent_is_sealed_by_its_successor(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """All was acknowledged, nothing was sealed: the spool has kept it, and who adopts it seals it."""
    run_program(LOGS_AND_IS_KILLED, kafka, folder, **settings(key_file))
    assert len(stored(kafka)) == 25
    assert len(folders(folder)) == 1
    audit = AuditLogger(sealing(kafka, folder, key_file))
    eventually(lambda: bool(seals_of(stored(kafka))), "the orphan's seal")
    audit.close()
    assert sorted(ranges(stored(kafka))) == [(0, 0, True), (0, 24, True)]
    assert is_all_sealed(kafka, key_file)
    assert len(stored(kafka)) == 27  # nothing was sent again
    assert not status_of(folder).spools


def test_a_successor_goes_on_where_the_seals_of_the_killed_one_end(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """Between two of them no number is left out, wherever the first was killed."""
    run_program(LOGS_AND_IS_KILLED, kafka, folder, **settings(key_file, seal_events="10"))
    with AuditLogger(sealing(kafka, folder, key_file)) as audit:
        eventually(lambda: audit.stats().acknowledged_total > 0, "a seal")
    records = stored(kafka)
    [orphan] = [
        seals
        for seals in book_of(records, policy_for(key_file)).loggers.values()
        if not seals.own_seq
    ]
    assert orphan.is_closed
    assert not orphan.uncovered()
    assert not orphan.overruled
    assert is_all_sealed(kafka, key_file)


@pytest.mark.long
def test_however_often_loggers_are_killed_all_is_sealed_in_the_end(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """At whatever instant, between event, seal and note: each number has one seal, and no two seals disagree."""
    for turn in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", LOGS_UNTIL_IT_IS_KILLED],
            env=environment(kafka, folder, settings(key_file, seal_events="10")),
            stdout=subprocess.PIPE,
        ) as running:
            assert running.stdout is not None
            for _ in range(turn + 1):
                assert running.stdout.readline()
            running.kill()
    with AuditLogger(sealing(kafka, folder, key_file)) as audit:
        audit.log("tick", session_id="last")
    assert not status_of(folder).spools
    records = stored(kafka)
    book = book_of(records, policy_for(key_file))
    assert len(book.loggers) == 7
    for seals in book.loggers.values():
        assert seals.is_closed
        assert not seals.uncovered()
        assert not seals.overruled
    assert set(matches(records, policy_for(key_file))) == {Match.FITS}


def test_what_was_never_sent_is_sealed_by_who_sends_it(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """A logger whose broker was away closes with its last seal, and the next one delivers both."""
    left_behind(kafka, folder, key_file, 30)
    with AuditLogger(sealing(kafka, folder, key_file)) as audit:
        eventually(lambda: audit.stats().adopted_total > 30, "adopted events")
    assert is_all_sealed(kafka, key_file)
    assert not status_of(folder).spools


def test_another_services_logger_sends_an_orphan_and_leaves_it_to_be_sealed(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """A key says nothing about another service's records: they are sent at once, and sealed by their own later."""
    run_program(LOGS_AND_IS_KILLED, kafka, folder, **settings(key_file))
    with AuditLogger(sealing(kafka, folder, key_file, service="other")) as audit:
        audit.log("tick", session_id="o")
    assert [(each.state, each.events) for each in status_of(folder).spools] == [("unsealed", 0)]
    assert drained(producer_config(kafka, folder), any_destination=False) == 0
    with AuditLogger(producer_config(kafka, folder)) as plain:
        plain.log("tick", session_id="p")
    assert len(status_of(folder).spools) == 1
    audit = AuditLogger(sealing(kafka, folder, key_file))
    eventually(lambda: len(seals_of(stored(kafka))) == 2, "the orphan's seal")
    audit.close()
    assert not status_of(folder).spools
    book = book_of(
        [record for record in stored(kafka) if b'"service":"bot"' in record], policy_for(key_file)
    )
    ours = [
        claim
        for record in stored(kafka)
        if (claim := claim_of(record)) and claim.service == SERVICE
    ]
    assert {book.match(claim) for claim in ours} == {Match.FITS}


def test_segments_stay_until_what_is_in_them_is_sealed(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """Space is freed as ever, a seal later; and a new segment brings a seal, so that nothing piles up."""
    config = sealing(
        kafka,
        folder,
        key_file,
        max_event_bytes=100_000,
        spool_segment_bytes=100_000,
        spool_bytes=200_000,
        # A broker on a busy machine takes its time; what piles up would wait for good.
        queue_timeout_seconds=DEADLINE_SECONDS,
    )
    with AuditLogger(config) as audit:
        for n in range(400):
            audit.log("tick", session_id="s", data={"n": n, "text": "x" * 5_000})
        assert len(segments(folders(folder)[0])) <= 3
    assert is_all_sealed(kafka, key_file)
    assert len(seals_of(stored(kafka))) > 5
    assert not status_of(folder).spools


def test_each_process_and_logger_seals_its_own(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """A forked child has numbers and seals of its own, and takes nothing of its parent's."""
    ran = subprocess.run(
        [sys.executable, "-c", LOGS_IN_A_CHILD_TOO],
        env=environment(kafka, folder, settings(key_file)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not ran.stderr
    # Who closes later repeats the last seals of those before, as records of its own: so the numbers may go on.
    loggers = book_of(stored(kafka), policy_for(key_file)).loggers.values()
    assert [each.is_closed for each in loggers] == [True] * 3
    assert is_all_sealed(kafka, key_file)


def test_the_next_logger_repeats_the_last_seal_once(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """So that one of which Kafka loses everything is known; the copy agrees with the seal, and no number lacks."""
    for _ in range(3):
        with AuditLogger(sealing(kafka, folder, key_file)) as audit:
            audit.log("tick", session_id="s")
    seals = seals_of(stored(kafka))
    assert sum("repeats_ms" in each.data for each in seals) == 2
    assert sorted(Counter(each.data["producer_id"] for each in seals).values()) == [1, 2, 2]
    assert is_all_sealed(kafka, key_file)
    assert len([name for name in folder.iterdir() if name.name.startswith(".closed-")]) == 1


def test_what_is_lost_in_the_spool_is_called_lost(
    kafka: KafkaConfig, folder: Path, key_file: Path
) -> None:
    """A damaged record is no gap that somebody has made: the seal says that it will not come."""
    left_behind(kafka, folder, key_file, 50)
    [(_, file)] = segments(folders(folder)[0])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    audit = AuditLogger(sealing(kafka, folder, key_file))
    eventually(lambda: audit.stats().adopted_total >= 49, "adopted events")
    with pytest.raises(SpoolDamagedError):
        audit.close()
    book = book_of(stored(kafka), policy_for(key_file))
    [orphan] = [each for each in book.loggers.values() if each.end_seq > 10]
    there = {
        claim.seq
        for record in stored(kafka)
        if (claim := claim_of(record))
        if claim.producer_id == orphan.producer_id
    }
    [lost] = set(range(orphan.end_seq)) - there
    assert orphan.has_lost(lost)
    assert not orphan.uncovered()
    assert is_all_sealed(kafka, key_file)


def test_a_logger_without_a_broker_seals_what_it_has(folder: Path, key_file: Path) -> None:
    """Sealing needs no broker: seals wait in the spool, behind what they seal."""
    away = KafkaConfig(bootstrap_servers=NOWHERE)
    audit = AuditLogger(sealing(away, folder, key_file, seal_events=10))
    for n in range(35):
        audit.log("tick", session_id="s", data={"n": n})
    audit.close(0.0)
    [status] = status_of(folder).spools
    assert status.events == 35 + 4
