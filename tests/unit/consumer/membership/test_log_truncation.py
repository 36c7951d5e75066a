"""Where a log was cut off, told by the digests that are stored: each offset may be as it was, another's, or gone."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_kafka import record
from trailhouse.broker.placeholder import Placeholder, Received
from trailhouse.broker.topic_reader import TopicReader
from trailhouse.consumer.membership import log_truncation
from trailhouse.consumer.membership.log_truncation import LogTruncation, StoredPart
from trailhouse.schemas.errors import UnreadableBatchError
from trailhouse.schemas.ranges import Range


class Scene:
    """What Kafka has of each partition, by offset, and what is stored of it."""

    def __init__(self, kafka: Mapping[int, Mapping[int, bytes]]) -> None:
        self.kafka = kafka
        self.stored: dict[int, dict[int, set[bytes]]] = {}
        self.damaged: set[int] = set()
        self.reads = 0

    def store(self, partition: int, records: Mapping[int, bytes]) -> None:
        """Note that these were stored."""
        for offset, value in records.items():
            digests = self.stored.setdefault(partition, {}).setdefault(offset, set())
            digests.add(sha256(value).digest())

    def digests(
        self, partition: int, first: int, end: int, limit: int
    ) -> Mapping[int, Collection[bytes]]:
        """Return what is stored, as ClickHouse does."""
        mine = self.stored.get(partition, {})
        highest = sorted((each for each in mine if first <= each < end), reverse=True)
        return {offset: mine[offset] for offset in highest[:limit]}

    def read(self, wanted: Mapping[int, Range]) -> Iterator[list[Received]]:
        """Yield what Kafka has of each range."""
        self.reads += 1
        if self.damaged & wanted.keys():
            raise UnreadableBatchError("damaged")
        for number, (first, last) in wanted.items():
            there = sorted(self.kafka[number].items())
            found = [record(number, n, value) for n, value in there if first <= n <= last]
            yield cast("list[Received]", found)

    def cut_at(self, parts: Mapping[int, tuple[int, int, int]]) -> dict[int, int]:
        """Return where logs were cut off: of each partition where it begins and ends, and what is stored."""
        reader = cast("AbstractContextManager[TopicReader]", nullcontext(self))
        truncation = LogTruncation(self, lambda: cast("Any", reader))
        return truncation.cut_at({number: StoredPart(*part) for number, part in parts.items()})


def history(name: str, first: int, end: int) -> dict[int, bytes]:
    """Return records of one history."""
    return {offset: f"{name} {offset}".encode() for offset in range(first, end)}


@pytest.mark.parametrize(
    ("kafka", "log", "cut_at"),
    [
        pytest.param(history("old", 0, 60), (0, 60, 60), None, id="as it was"),
        pytest.param(history("old", 0, 90), (0, 90, 60), None, id="as it was, and more"),
        pytest.param(history("old", 0, 20) | history("new", 20, 90), (0, 90, 60), 20, id="others"),
        pytest.param(history("old", 0, 20) | history("new", 20, 30), (0, 30, 60), 20, id="fewer"),
        pytest.param(history("old", 0, 20), (0, 20, 60), 20, id="none yet"),
        pytest.param(history("new", 0, 90), (0, 90, 60), 0, id="all of them"),
        pytest.param(history("new", 40, 90), (40, 90, 60), 40, id="all that are left"),
        pytest.param(history("old", 40, 90), (40, 90, 60), None, id="the first are gone"),
        pytest.param(history("new", 61, 90), (61, 90, 60), None, id="all of them are gone"),
        pytest.param(history("old", 0, 57), (0, 90, 60), None, id="the newest are compacted away"),
        pytest.param({}, (0, 0, 60), None, id="nothing is left"),
    ],
)
def test_the_first_record_that_is_another(
    kafka: Mapping[int, bytes], log: tuple[int, int, int], cut_at: int | None
) -> None:
    """Sixty records were stored."""
    scene = Scene({3: kafka})
    scene.store(3, history("old", 0, 60))
    assert scene.cut_at({3: log}) == ({} if cut_at is None else {3: cut_at})


def test_what_any_generation_has_stored_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that was cut off twice: what was stored after the first time stands beside what was before."""
    scene = Scene({0: history("old", 0, 20) | history("new", 20, 40) | history("last", 40, 99)})
    scene.store(0, history("old", 0, 60))
    scene.store(0, history("new", 20, 50))
    assert scene.cut_at({0: (0, 99, 60)}) == {0: 40}
    monkeypatch.setattr(log_truncation, "LOOK_BACK_OFFSETS", 3)
    assert scene.cut_at({0: (0, 99, 60)}) == {0: 40}


def test_partitions_are_looked_at_together() -> None:
    """One read for all of them, as at each rebalance; none where nothing is stored."""
    scene = Scene({number: history("old", 0, 60) for number in range(12)})
    for number in range(12):
        scene.store(number, history("old", 0, 60))
    assert scene.cut_at(dict.fromkeys(range(12), (0, 60, 60))) == {}
    assert scene.reads == 1


def test_a_batch_that_is_damaged_says_nothing_and_hides_no_other_partition() -> None:
    """What stands there now cannot be read; whoever reads on meets it."""
    scene = Scene({0: history("old", 0, 60), 1: history("new", 0, 60)})
    for number in range(2):
        scene.store(number, history("old", 0, 60))
    scene.damaged.add(0)
    assert scene.cut_at({0: (0, 60, 60), 1: (0, 60, 60)}) == {1: 0}


def test_what_stands_for_a_batch_is_no_record() -> None:
    """A batch that cannot be opened is no other record than before."""
    scene = Scene({0: history("old", 0, 60)})
    scene.store(0, history("old", 0, 60))
    stand_in = Placeholder(0, 56, 59, 4, 0, 9, b"", b"", None, "damaged")
    scene.read = lambda _wanted: iter([[stand_in]])  # type: ignore[method-assign,assignment]
    assert scene.cut_at({0: (0, 60, 60)}) == {}


@given(
    st.integers(0, 70), st.integers(0, 70), st.sets(st.integers(0, 99)), st.sets(st.integers(0, 59))
)
def test_nothing_that_is_new_is_skipped(
    cut_at: int, begin: int, gone: set[int], without_leaf: set[int]
) -> None:
    """Reading begins at the first other record, or before it, whatever is gone from Kafka or has no leaf."""
    old, new = history("old", 0, cut_at), history("new", cut_at, 100)
    shown = {
        offset: value
        for offset, value in (old | new).items()
        if offset >= begin and offset not in gone
    }
    scene = Scene({0: shown})
    scene.store(0, {n: each for n, each in history("old", 0, 60).items() if n not in without_leaf})
    found = scene.cut_at({0: (begin, 100, 60)}).get(0)
    others = [offset for offset in shown if cut_at <= offset < 60]
    looked_at = sorted(scene.stored.get(0, {}), reverse=True)[: log_truncation.LOOKED_AT]
    if any(offset in shown and offset >= max(cut_at, begin) for offset in looked_at):
        assert found is not None
        assert found <= min(others)
    elif not others:
        assert found is None
