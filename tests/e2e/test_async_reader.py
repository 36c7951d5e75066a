"""The reader for asyncio over a real database: the same answers, several at a time, and events as they come."""

import asyncio

import pytest

from stored import event, in_order, store
from trailhouse.query import AsyncAuditReader, AuditReader, QueryError, StorageUnavailableError
from trailhouse.store import ClickHouseConfig
from waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.cluster

EVENTS = [event("s", run_id="r") for _ in range(5)]


@pytest.fixture(scope="module")
def stored(database_of_module: ClickHouseConfig) -> ClickHouseConfig:
    """Return a database that holds one session."""
    store(database_of_module, in_order(EVENTS))
    return database_of_module


def test_both_readers_give_the_same_answers(stored: ClickHouseConfig) -> None:
    """Asked at once or one by one."""

    async def scene() -> tuple[object, ...]:
        async with AsyncAuditReader(config=stored) as reader:
            return tuple(
                await asyncio.gather(
                    reader.get_audit_log("s"),
                    reader.timeline("s"),
                    reader.runs("run:r"),
                    reader.overview(),
                    reader.anomalies("session:s", limit=5),
                )
            )

    events, timeline, runs, overview, _ = asyncio.run(scene())
    with AuditReader(config=stored) as reader:
        assert events == reader.get_audit_log("s") == EVENTS
        assert timeline == reader.timeline("s")
        assert runs == reader.runs("run:r")
        assert overview == reader.overview()


def test_errors_are_those_of_the_other_reader(stored: ClickHouseConfig) -> None:
    """A mistake is permanent, a ClickHouse that is away is not."""

    async def scene() -> None:
        async with AsyncAuditReader(config=stored) as reader:
            with pytest.raises(QueryError):
                await reader.timeline()
        async with AsyncAuditReader(config=ClickHouseConfig(url="http://127.0.0.1:1")) as nowhere:
            with pytest.raises(StorageUnavailableError):
                await nowhere.overview()

    asyncio.run(scene())


def test_a_follower_gives_each_event_once_though_its_caller_is_cancelled(
    stored: ClickHouseConfig,
) -> None:
    """What comes while nobody waits is what the next one gets; the token goes on after what was given."""

    async def scene() -> tuple[list[object], list[object]]:
        async with AsyncAuditReader(config=stored) as reader:
            async with reader.follow("session:s", from_start=True) as follower:
                impatient = asyncio.create_task(follower.read(DEADLINE_SECONDS, 2))
                await asyncio.sleep(0)  # it has begun to wait
                impatient.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await impatient
                first: list[object] = [*(await follower.read(DEADLINE_SECONDS, 2)).items]
                token = follower.token
            rest: list[object] = []
            async with reader.follow("session:s", token=token) as follower:
                async for each in follower:
                    rest.append(each)
                    if len(rest) == 3:
                        break
            return first, rest

    first, rest = asyncio.run(asyncio.wait_for(scene(), DEADLINE_SECONDS))
    assert (first, rest) == (EVENTS[:2], EVENTS[2:])


def test_a_follower_is_read_only_while_it_is_open(stored: ClickHouseConfig) -> None:
    """Before and after its block there is nothing to read; a mistake in what it asks for shows as it begins."""

    async def scene() -> None:
        async with AsyncAuditReader(config=stored) as reader:
            follower = reader.follow()
            with pytest.raises(QueryError):
                await follower.read()
            async with follower:
                assert follower.token
            await follower.close()
            with pytest.raises(QueryError):
                await follower.read()
            with pytest.raises(QueryError):
                async with reader.follow("no such field:x"):
                    pass

    asyncio.run(scene())
