"""Where a log was cut off, told by when records were appended: each may be there as it was, another, or gone."""

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.broker.batch_headers import RawBatch
from trailhouse.consumer.membership import log_truncation
from trailhouse.consumer.membership.log_truncation import LogTruncation, StoredPart

OLD, NEW, LAST = 0, 1_000_000, 2_000_000
"""When the records of a history were appended: so many milliseconds after their offset."""


def history(began: int, first: int, end: int) -> dict[int, int]:
    """Return when the records of one history were appended, by offset."""
    return {offset: began + offset for offset in range(first, end)}


class Scene:
    """When what Kafka has of each partition was appended, by offset, and what is stored of it."""

    def __init__(self, kafka: Mapping[int, Mapping[int, int]]) -> None:
        self.kafka = kafka
        self.stored: dict[int, dict[int, set[int]]] = {}
        self.damaged: set[int] = set()
        self.has_senders_times = False
        self.looks = 0

    def store(self, partition: int, records: Mapping[int, int]) -> None:
        """Note that these were stored."""
        for offset, appended_ms in records.items():
            self.stored.setdefault(partition, {}).setdefault(offset, set()).add(appended_ms)

    def append_times(
        self, partition: int, first: int, end: int, limit: int
    ) -> Mapping[int, Collection[int]]:
        """Return what is stored, as ClickHouse does."""
        mine = self.stored.get(partition, {})
        highest = sorted((each for each in mine if first <= each < end), reverse=True)
        return {offset: mine[offset] for offset in highest[:limit]}

    def batches_at(self, offsets: Mapping[int, int]) -> Mapping[int, RawBatch]:
        """Return the batch that holds each offset, or the next one: each record has one of its own."""
        self.looks += 1
        found: dict[int, RawBatch] = {}
        for number, wanted in offsets.items():
            for offset, appended_ms in sorted(self.kafka[number].items()):
                if offset >= wanted:
                    found[number] = RawBatch(
                        offset, offset, 1, appended_ms, "none", 70, b"", b"",
                        is_sound=number not in self.damaged,
                        is_broker_time=not self.has_senders_times,
                    )  # fmt: skip
                    break
        return found

    def cut_at(self, parts: Mapping[int, tuple[int, int, int]]) -> dict[int, int]:
        """Return where logs were cut off: of each partition where it begins and ends, and what is stored."""
        truncation = LogTruncation(self, self.batches_at)
        return truncation.cut_at({number: StoredPart(*part) for number, part in parts.items()})


@pytest.mark.parametrize(
    ("kafka", "log", "cut_at"),
    [
        pytest.param(history(OLD, 0, 60), (0, 60, 60), None, id="as it was"),
        pytest.param(history(OLD, 0, 90), (0, 90, 60), None, id="as it was, and more"),
        pytest.param(history(OLD, 0, 20) | history(NEW, 20, 90), (0, 90, 60), 20, id="others"),
        pytest.param(history(OLD, 0, 20) | history(NEW, 20, 30), (0, 30, 60), 20, id="fewer"),
        pytest.param(history(OLD, 0, 20), (0, 20, 60), 20, id="none yet"),
        pytest.param(history(NEW, 0, 90), (0, 90, 60), 0, id="all of them"),
        pytest.param(history(NEW, 40, 90), (40, 90, 60), 40, id="all that are left"),
        pytest.param(history(OLD, 40, 90), (40, 90, 60), None, id="the first are gone"),
        pytest.param(history(NEW, 61, 90), (61, 90, 60), None, id="all of them are gone"),
        pytest.param(history(OLD, 0, 57), (0, 90, 60), None, id="the newest are compacted away"),
        pytest.param({}, (0, 0, 60), None, id="nothing is left"),
    ],
)
def test_the_first_record_that_is_another(
    kafka: Mapping[int, int], log: tuple[int, int, int], cut_at: int | None
) -> None:
    """Sixty records were stored."""
    scene = Scene({3: kafka})
    scene.store(3, history(OLD, 0, 60))
    assert scene.cut_at({3: log}) == ({} if cut_at is None else {3: cut_at})


def test_what_any_generation_has_stored_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that was cut off twice: what was stored after the first time stands beside what was before."""
    scene = Scene({0: history(OLD, 0, 20) | history(NEW, 20, 40) | history(LAST, 40, 99)})
    scene.store(0, history(OLD, 0, 60))
    scene.store(0, history(NEW, 20, 50))
    assert scene.cut_at({0: (0, 99, 60)}) == {0: 40}
    monkeypatch.setattr(log_truncation, "LOOK_BACK_OFFSETS", 3)
    assert scene.cut_at({0: (0, 99, 60)}) == {0: 40}


def test_partitions_are_looked_at_together() -> None:
    """Once for all of them, as at each rebalance."""
    scene = Scene({number: history(OLD, 0, 60) for number in range(12)})
    for number in range(12):
        scene.store(number, history(OLD, 0, 60))
    assert scene.cut_at(dict.fromkeys(range(12), (0, 60, 60))) == {}
    assert scene.looks == 1


def test_a_batch_that_is_damaged_says_nothing_and_hides_no_other_partition() -> None:
    """Its header may be wrong as well; whoever reads on meets it."""
    scene = Scene({0: history(NEW, 0, 60), 1: history(NEW, 0, 60)})
    for number in range(2):
        scene.store(number, history(OLD, 0, 60))
    scene.damaged.add(0)
    assert scene.cut_at({0: (0, 60, 60), 1: (0, 60, 60)}) == {1: 0}


def test_a_senders_time_says_nothing() -> None:
    """It is not the one that is stored, though the record is."""
    scene = Scene({0: history(NEW, 0, 60)})
    scene.store(0, history(OLD, 0, 60))
    scene.has_senders_times = True
    assert scene.cut_at({0: (0, 60, 60)}) == {}


@given(
    st.integers(0, 70), st.integers(0, 70), st.sets(st.integers(0, 99)), st.sets(st.integers(0, 59))
)
def test_nothing_that_is_new_is_skipped(
    cut_at: int, begin: int, gone: set[int], without_leaf: set[int]
) -> None:
    """Reading begins at the first other record, or before it, whatever is gone from Kafka or has no leaf."""
    shown = {
        offset: appended_ms
        for offset, appended_ms in (history(OLD, 0, cut_at) | history(NEW, cut_at, 100)).items()
        if offset >= begin and offset not in gone
    }
    scene = Scene({0: shown})
    stored = history(OLD, 0, 60)
    scene.store(0, {offset: stored[offset] for offset in stored.keys() - without_leaf})
    found = scene.cut_at({0: (begin, 100, 60)}).get(0)
    others = [offset for offset in shown if cut_at <= offset < 60]
    looked_at = sorted(scene.stored.get(0, {}), reverse=True)[: log_truncation.LOOKED_AT]
    if any(offset in shown and offset >= max(cut_at, begin) for offset in looked_at):
        assert found is not None
        assert found <= min(others)
    elif not others:
        assert found is None
