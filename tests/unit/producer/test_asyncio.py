"""The logger under asyncio, without a broker: the loop goes on whatever waits, and nothing is lost by leaving."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from trailhouse.producer import AuditLogger, ProducerConfig, Receipt
from trailhouse.producer.spool.status import spools_status
from trailhouse.producer.testing import InMemoryAuditLogger
from trailhouse.schemas import KafkaConfig
from trailhouse.schemas.errors import (
    DeliveryTimeoutError,
    InvalidEventError,
    ProducerClosedError,
    QueueFullError,
    SpoolFullError,
)

NOWHERE = KafkaConfig(bootstrap_servers="127.0.0.1:1")
WAIT_SECONDS = 1.0
LEAST_TURNS = 10
"""A free loop has two hundred in `WAIT_SECONDS`, some tens on a busy machine; one that is held has none."""
MEMORY_OF_ONE = {"mode": "memory", "queue_events": 1}


def durable(folder: Path, **fields: object) -> ProducerConfig:
    """Return settings of a producer whose broker is away."""
    settings = {"kafka": NOWHERE, "spool_dir": str(folder), "close_timeout_seconds": WAIT_SECONDS}
    return ProducerConfig(**settings | fields)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncGenerator[list[float]]:
    """Collect how long each turn of the loop took, as long as the block runs."""
    gaps: list[float] = []

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    task = asyncio.create_task(beat())
    try:
        yield gaps
    finally:
        task.cancel()
    assert len(gaps) >= LEAST_TURNS, f"the loop was held for {max(gaps):.3f} s"
    assert sum(gaps) > WAIT_SECONDS / 2, f"expected a wait, got {sum(gaps):.3f} s"


async def flushed(audit: AuditLogger, receipt: Receipt) -> None:
    with pytest.raises(DeliveryTimeoutError):
        await audit.aflush(WAIT_SECONDS)


async def awaited(audit: AuditLogger, receipt: Receipt) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receipt, WAIT_SECONDS)


async def asked(audit: AuditLogger, receipt: Receipt) -> None:
    with pytest.raises(DeliveryTimeoutError):
        await receipt.aresult(WAIT_SECONDS)


async def logged_with_wait(audit: AuditLogger, receipt: Receipt) -> None:
    with pytest.raises(DeliveryTimeoutError):
        await audit.alog("b", session_id="s", wait=True, timeout_seconds=WAIT_SECONDS)


async def closed(audit: AuditLogger, receipt: Receipt) -> None:
    await audit.aclose()


async def left(audit: AuditLogger, receipt: Receipt) -> None:
    async with audit:
        pass


@pytest.mark.parametrize("wait", [flushed, awaited, asked, logged_with_wait, closed, left])
def test_the_loop_goes_on_while_a_dead_broker_is_waited_for(
    tmp_path: Path, wait: Callable[[AuditLogger, Receipt], Awaitable[None]]
) -> None:
    """Flush, close, a receipt and a call that waits for it hold nobody but their caller."""

    async def main() -> None:
        audit = AuditLogger(durable(tmp_path))
        async with heartbeat():
            receipt = audit.log("a", session_id="s")
            assert receipt is not None
            await wait(audit, receipt)
        await audit.aclose(0.0)

    asyncio.run(main())


async def log_until_refused(audit: AuditLogger) -> None:
    while True:
        await audit.alog("a", session_id="s", data={"x": "y" * 5_000})


def test_the_loop_goes_on_while_a_call_waits_for_room(tmp_path: Path) -> None:
    """`alog` in a full spool waits its time beside the loop, and then raises as `log` does."""
    config = durable(
        tmp_path,
        queue_timeout_seconds=WAIT_SECONDS,
        max_event_bytes=10_000,
        spool_segment_bytes=10_000,
        spool_bytes=20_000,
    )

    async def main() -> None:
        audit = AuditLogger(config)
        async with heartbeat():
            with pytest.raises(SpoolFullError):
                await log_until_refused(audit)
        queued = audit.stats().queued_events
        assert queued > 0
        await audit.aclose(0.0)
        with pytest.raises(ProducerClosedError):
            await audit.alog("a", session_id="s")
        assert audit.stats().queued_events == queued

    asyncio.run(main())


def test_closing_ends_a_call_that_waits_for_room() -> None:
    """`alog` that waits for room when the logger is closed raises at once, and logs nothing."""

    async def main() -> None:
        audit = AuditLogger(
            ProducerConfig(kafka=NOWHERE, queue_timeout_seconds=30.0, **MEMORY_OF_ONE)  # type: ignore[arg-type]
        )
        first = await audit.alog("a", session_id="s")
        assert first is not None
        waiting = asyncio.create_task(audit.alog("b", session_id="s"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        closing = asyncio.create_task(audit.aclose(0.0))
        with pytest.raises(ProducerClosedError):
            await waiting
        with pytest.raises(DeliveryTimeoutError):
            await closing

    asyncio.run(main())


def test_leaving_with_everything_in_the_spool_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A block left while the broker is away ends well, and one line says how much waits and who sends it."""

    async def main() -> None:
        async with AuditLogger(durable(tmp_path, close_timeout_seconds=0.1)) as audit:
            for _ in range(3):
                audit.log("a", session_id="s")
            with pytest.raises(DeliveryTimeoutError):
                audit.flush(0.0)

    asyncio.run(main())
    with AuditLogger(durable(tmp_path / "other", close_timeout_seconds=0.1)) as audit:
        audit.log("a", session_id="s")

    said = [message for message in caplog.messages if message.startswith("closing")]
    assert said == [
        f"closing the audit logger: {count} events are not acknowledged after 0.1 s: check that the broker is up;"
        " they stay in the spool, and the next logger or `trailhouse spool drain` sends them"
        for count in (3, 1)
    ]
    assert [spool.events for spool in spools_status(tmp_path).spools] == [3]


def test_in_memory_leaving_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """In mode memory what is not acknowledged at close is lost, and that raises, or is noted on the block's error."""
    config = ProducerConfig(kafka=NOWHERE, mode="memory", close_timeout_seconds=0.1)

    async def leave(*, by: type[Exception] | None) -> None:
        async with AuditLogger(config) as audit:
            audit.log("a", session_id="s")
            if by is not None:
                raise by

    with pytest.raises(DeliveryTimeoutError, match="1 events are not acknowledged"):
        asyncio.run(leave(by=None))
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(leave(by=ZeroDivisionError))
    assert caught.value.__notes__ == [
        "trailhouse: 1 events are not acknowledged after 0.1 s: check that the broker is up"
    ]


def test_a_program_that_is_off_ends_soon_and_well(tmp_path: Path) -> None:
    """Off and without a broker, a program waits a second at most for its one event, and raises nothing."""
    for mode in ("durable", "memory"):
        config = durable(tmp_path, enabled=False, mode=mode, close_timeout_seconds=300.0)
        began = time.monotonic()
        with AuditLogger(config) as audit:
            assert audit.log("a", session_id="s") is None
        assert time.monotonic() - began < 100


def test_cancelling_a_close_closes_all_the_same(tmp_path: Path) -> None:
    """Who is cancelled while closing waits no longer; the logger is closed, and what it has stays in the spool."""

    async def main() -> None:
        audit = AuditLogger(durable(tmp_path))
        audit.log("a", session_id="s")
        task = asyncio.create_task(audit.aclose(1.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await audit.aclose()  # waits for the one that goes on
        with pytest.raises(ProducerClosedError):
            audit.log("a", session_id="s")

    asyncio.run(main())
    assert [spool.events for spool in spools_status(tmp_path).spools] == [1]


def test_alog_inherits_checks_and_switches_as_log_does() -> None:
    """`alog` is `log`: bound fields, refusals, and None while auditing is off."""

    async def main() -> None:
        async with InMemoryAuditLogger(tenant_id="acme") as audit:
            with audit.bind(session="s", run="r"):
                receipt = await audit.alog("a", data={"x": 1}, wait=True)
                assert receipt is not None
                assert receipt.is_settled
                with pytest.raises(InvalidEventError, match="novel: is not a field"):
                    await audit.alog("a", novel=1)  # type: ignore[call-arg]  # a wrong name on purpose
                with audit.disabled():
                    assert await audit.alog("b") is None
            event = audit.only("a")
            assert (event.session_id, event.run_id, event.tenant_id) == ("s", "r", "acme")

    asyncio.run(main())


def test_a_full_queue_without_time_to_wait_raises_at_once() -> None:
    """With no queue timeout `alog` raises as `log` does."""

    async def main() -> None:
        audit = AuditLogger(
            ProducerConfig(kafka=NOWHERE, queue_timeout_seconds=0.0, **MEMORY_OF_ONE)  # type: ignore[arg-type]
        )
        await audit.alog("a", session_id="s")
        with pytest.raises(QueueFullError):
            await audit.alog("b", session_id="s")
        with pytest.raises(DeliveryTimeoutError):
            await audit.aclose(0.0)

    asyncio.run(main())
