"""Waiting for a real broker, and leaving: what holds when loops, loggers and processes end early."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import TypeVarTuple, cast

import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from command_line import environment
from producing import events_of, given, read_topic
from trailhouse.producer import AuditLogger, Delivery, ProducerConfig, Receipt
from trailhouse.schemas import KafkaConfig, decode
from trailhouse.schemas.errors import (
    ConfigError,
    DeliveryRejectedError,
    InvalidEventError,
    ProducerClosedError,
)
from waiting import DEADLINE_SECONDS, eventually

Arguments = TypeVarTuple("Arguments")


@pytest.fixture
def audit(kafka: KafkaConfig) -> Iterator[AuditLogger]:
    """Return a logger that writes to a fresh topic."""
    with AuditLogger(ProducerConfig(kafka=kafka)) as logger:
        yield logger


def run_program(
    kafka: KafkaConfig, folder: Path, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run *program* to its end in *folder*, with settings that lead to *kafka*."""
    settings = {
        "TRAILHOUSE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TRAILHOUSE_KAFKA_TOPIC": kafka.topic,
    }
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


async def leave_waiting(receipt: Receipt) -> asyncio.Future[Delivery]:
    """Return a task that waits for *receipt* and that nobody will end."""
    task = asyncio.ensure_future(receipt)
    await asyncio.sleep(0)
    return task


def test_an_event_loop_that_ended_stops_no_delivery(kafka: KafkaConfig) -> None:
    """A receipt given up in a loop that is closed by now harms neither its own event nor the next."""
    missing = msgspec.structs.replace(kafka, topic=f"{kafka.topic}-later")
    with AuditLogger(ProducerConfig(kafka=missing)) as audit:
        receipt = given(audit.log("tick", session_id="s"))
        loop = asyncio.new_event_loop()
        left = loop.run_until_complete(leave_waiting(receipt))
        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(receipt, 0.1))
        loop.close()
        assert not left.done()
        with pytest.raises(DeliveryRejectedError):
            receipt.result(DEADLINE_SECONDS)
        admin = AdminClient(kafka.client_options())
        admin.create_topics([NewTopic(missing.topic, 4)])[missing.topic].result(DEADLINE_SECONDS)
        eventually(
            lambda: audit.stats().acknowledged_total == 1, "the event goes out with its topic there"
        )
        given(audit.log("tick", session_id="s")).result(DEADLINE_SECONDS)


class BrokenLoop(asyncio.SelectorEventLoop):
    """An event loop that wakes whoever waits in it, and then raises in the thread that asked for it."""

    has_raised = False

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        super().call_soon_threadsafe(callback, *args, context=context)
        self.has_raised = True
        raise ZeroDivisionError


def test_the_sender_outlives_what_its_callbacks_raise(audit: AuditLogger) -> None:
    """An error where nobody would catch it, on the sender's own thread, stops no later event."""

    with asyncio.Runner(loop_factory=BrokenLoop) as runner:
        loop = cast("BrokenLoop", runner.get_loop())
        while not loop.has_raised:  # unless the broker was faster than the one who waits
            receipt = given(audit.log("a", session_id="s"))
            runner.run(receipt.aresult(DEADLINE_SECONDS))
    given(audit.log("b", session_id="s")).result(DEADLINE_SECONDS)


def test_flush_returns_while_others_go_on_logging(kafka: KafkaConfig) -> None:
    """A flush waits for what was logged before it, not for what others log meanwhile."""
    is_done = threading.Event()
    # Batches that fill slowly: some event is on its way at every moment.
    with AuditLogger(ProducerConfig(kafka=kafka, linger_seconds=0.5)) as audit:

        def work() -> None:
            for number in itertools.cycle(range(16)):
                audit.log("tick", session_id=f"s{number}")
                if is_done.wait(0.003):
                    return

        thread = threading.Thread(target=work)
        thread.start()
        try:
            receipt = given(audit.log("mine", session_id="mine"))
            audit.flush(DEADLINE_SECONDS)
            assert receipt.is_settled, "expected the flush to wait for the event before it"
            eventually(lambda: audit.stats().queued_events > 0, "others that are on their way")
        finally:
            is_done.set()
            thread.join(DEADLINE_SECONDS)


def test_after_close_nobody_waits_for_what_was_lost() -> None:
    """What had no acknowledgement at close says so at once, on receipt, await and flush."""
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    audit = AuditLogger(ProducerConfig(kafka=nowhere))
    receipt = given(audit.log("a", session_id="s"))
    audit.close(0.1)
    began = time.monotonic()

    async def wait() -> None:
        await receipt

    with pytest.raises(ProducerClosedError, match=receipt.event_id):
        receipt.result(DEADLINE_SECONDS)
    with pytest.raises(ProducerClosedError, match=receipt.event_id):
        asyncio.run(wait())
    with pytest.raises(ProducerClosedError, match="1 events"):
        audit.flush(DEADLINE_SECONDS)
    assert time.monotonic() - began < DEADLINE_SECONDS, "expected the answers at once"


def test_a_coroutine_that_waits_for_room_goes_on_when_there_is_some(kafka: KafkaConfig) -> None:
    """`alog` in a full queue takes its place as the broker answers, in order, and the loop goes on meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main() -> None:
        config = ProducerConfig(
            kafka=kafka,
            mode="memory",
            queue_events=1,
            queue_timeout_seconds=DEADLINE_SECONDS,
            linger_seconds=900,
        )
        async with AuditLogger(config) as audit:
            counting = asyncio.create_task(count())
            before = turns
            for number in range(20):
                await audit.alog("tick", session_id="s", data={"n": number})
            assert turns > before, "expected calls that waited, and others that had their turn"
            counting.cancel()

    asyncio.run(main())
    assert [event.data["n"] for event in events_of(kafka, 20)] == list(range(20))


@pytest.mark.parametrize("mode", ["durable", "memory"])
def test_who_waits_does_not_wait_for_the_linger(kafka: KafkaConfig, mode: str) -> None:
    """However long a batch may fill: a call, a receipt, a coroutine and a flush that wait are answered before."""
    config = ProducerConfig(kafka=kafka, mode=mode, linger_seconds=900)
    audit = AuditLogger(config)

    async def await_one() -> None:
        await given(audit.log("awaited", session_id="s"))

    assert given(audit.log("first", session_id="s", wait=True)).is_settled
    assert given(audit.log("second", session_id="s", wait=True)).is_settled
    given(audit.log("third", session_id="s")).result(DEADLINE_SECONDS)
    asyncio.run(await_one())
    unseen = given(audit.log("flushed", session_id="s"))
    audit.flush(DEADLINE_SECONDS)
    assert unseen.is_settled
    audit.log("closed", session_id="s")
    audit.close(DEADLINE_SECONDS)
    assert len(events_of(kafka, 6)) == 6


def test_a_logger_that_has_nothing_to_do_is_asleep(kafka: KafkaConfig) -> None:
    """Once its events are acknowledged and on the disk, its thread is not run any more, until there is an event."""

    def switches() -> list[str]:
        [thread] = [each for each in threading.enumerate() if each.name == "trailhouse-producer"]
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        return [line for line in status.splitlines() if "ctxt_switches" in line]

    def is_asleep() -> bool:
        before = switches()
        return not threading.Event().wait(2.0) and switches() == before

    with AuditLogger(ProducerConfig(kafka=kafka)) as audit:
        given(audit.log("a", session_id="s")).result(DEADLINE_SECONDS)
        eventually(is_asleep, "two seconds without a turn of the sender")
        receipt = given(audit.log("b", session_id="s"))
        eventually(lambda: receipt.is_settled, "an answer to what woke it")


def test_every_wait_has_a_deadline(audit: AuditLogger) -> None:
    """No time at all is no timeout; an endless one ends after a day, and works until then."""
    receipt = given(audit.log("a", session_id="s"))
    with pytest.raises(TypeError):
        receipt.result(None)  # type: ignore[arg-type]  # a wrong type on purpose
    receipt.result(float("inf"))
    audit.flush(float("inf"))


LETS_GO = """
import sys
from trailhouse.producer import AuditLogger
def work():
    for n in range(int((sys.argv[1:] or [3])[0])):
        AuditLogger().log("tick", session_id="s", data={"n": n})
work()
"""
TELLS_HOW_LONG_ITS_END_TAKES = """
import atexit, os, threading, time
os.environ["TRAILHOUSE_PRODUCER_CLOSE_TIMEOUT_SECONDS"] = "1"
ended_at = []
atexit.register(lambda: print(time.monotonic() - ended_at[0]))  # the first is run as the last
import trailhouse.producer
atexit.register(lambda: ended_at.append(time.monotonic()))
"""
RAISES = """
from trailhouse.producer import AuditLogger
audit = AuditLogger()
for n in range(3):
    audit.log("tick", session_id="s", data={"n": n})
raise ValueError("the program's own")
"""


@pytest.mark.parametrize(("program", "code"), [(LETS_GO, 0), (RAISES, 1)])
def test_a_program_that_just_ends_delivers(
    kafka: KafkaConfig, tmp_path: Path, program: str, code: int
) -> None:
    """What was logged arrives when the program ends, raises, or let go of its loggers before."""
    ended = run_program(kafka, tmp_path, program)

    assert ended.returncode == code, ended.stderr
    assert len(events_of(kafka, 3)) == 3


def test_a_program_that_ends_without_a_broker_says_so_in_one_time(tmp_path: Path) -> None:
    """At exit all loggers together wait no longer than one may, and each tells what it leaves."""
    nowhere = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    ended = run_program(nowhere, tmp_path, TELLS_HOW_LONG_ITS_END_TAKES + LETS_GO, "12")

    assert ended.returncode == 0, ended.stderr
    assert 1 <= float(ended.stdout) < 9, "expected twelve loggers to end in about 1 s, not in 12"
    assert ended.stderr.count("they stay in the spool") == 12, ended.stderr


def test_a_signal_handler_may_log(audit: AuditLogger, kafka: KafkaConfig) -> None:
    """A handler that logs while its thread is logging loses nothing and takes no number twice."""
    given(audit.log("main", session_id="s")).result(DEADLINE_SECONDS)
    before = signal.signal(signal.SIGALRM, lambda *_: audit.log("signal", session_id="s") and None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
    try:
        for _ in range(5_000):
            audit.log("main", session_id="s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    audit.flush(DEADLINE_SECONDS)
    read = [decode(message.value() or b"") for message in read_topic(kafka)]
    events = {
        event.event_id: event for event in read
    }  # one may be sent twice, and is one to readers
    numbers = [event.source.seq for event in events.values() if event.source]

    assert sum(event.type == "main" for event in events.values()) == 5_001
    assert sorted(number for number in numbers if number is not None) == list(range(len(events)))


def test_settings_that_the_client_refuses_are_a_config_error(tmp_path: Path) -> None:
    """What only librdkafka can judge is told by the first event, in our words, and nothing waits."""
    (tmp_path / "ca.pem").write_text("not a certificate")
    wrong = KafkaConfig(security_protocol="ssl", ssl_ca_location=str(tmp_path / "ca.pem"))
    audit = AuditLogger(ProducerConfig(kafka=wrong))
    with pytest.raises(ConfigError, match=r"\[kafka\] settings are wrong.*ssl\.ca\.location"):
        audit.log("a", session_id="s")

    assert audit.stats().queued_events == 0
    audit.close()


def test_what_is_no_event_is_refused_by_name(audit: AuditLogger) -> None:
    """A session that was forgotten, and an object that is not an event, are refused like a wrong field."""
    with pytest.raises(InvalidEventError, match="session_id: is missing"):
        audit.log("a")
    with pytest.raises(InvalidEventError, match="event: must be an AuditEvent, got dict"):
        audit.emit({"type": "a", "session_id": "s"})  # type: ignore[arg-type]  # on purpose


def test_a_closed_logger_stays_closed_in_a_child(kafka: KafkaConfig) -> None:
    """A fork renews a logger that is open, and leaves one that was closed as it is."""
    audit = AuditLogger(ProducerConfig(kafka=kafka))
    audit.close()
    if (pid := os.fork()) == 0:
        try:
            audit.log("child", session_id="s")
        except ProducerClosedError:
            os._exit(0)
        finally:
            os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def log_and_fail(audit: AuditLogger) -> None:
    audit.log("tick", session_id="s")
    raise ZeroDivisionError


def test_the_error_of_a_block_is_not_hidden_by_undelivered_events() -> None:
    """A block that fails while the broker is away raises its own error, with a note of what waits."""
    config = ProducerConfig(
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1"), close_timeout_seconds=0.1, mode="memory"
    )
    with pytest.raises(ZeroDivisionError) as caught, AuditLogger(config) as audit:
        log_and_fail(audit)

    assert caught.value.__notes__ == [
        "trailhouse: 1 events are not acknowledged after 0.1 s: check that the broker is up"
    ]
