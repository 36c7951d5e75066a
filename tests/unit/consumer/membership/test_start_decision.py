"""The decision on a partition's offsets: where to read from, and what is wrong. Every rule once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.consumer.membership.start_decision import PartitionState, decide_start


def place(
    committed: int | None,
    log: tuple[int, int],
    stored_until: int | None = None,
    earlier_until: int | None = None,
    cut_at: int | None = None,
) -> PartitionState:
    """Return partition 3 with these offsets."""
    return PartitionState(3, committed, *log, stored_until, earlier_until, cut_at)


@pytest.mark.parametrize(
    ("where", "start", "findings"),
    [
        pytest.param(place(None, (0, 9)), 0, [], id="new group, new topic"),
        pytest.param(
            place(None, (4, 9)), 4, [("expired", 0, 3)], id="nothing was read before it expired"
        ),
        pytest.param(place(None, (0, 9), 7), 0, [], id="group forgotten by Kafka: read again"),
        pytest.param(
            place(None, (8, 9), 5), 8, [("expired", 5, 7)], id="group forgotten, and records gone"
        ),
        pytest.param(place(7, (0, 9), 7), 7, [], id="in order"),
        pytest.param(place(7, (7, 9)), 7, [], id="nothing stored, nothing missing"),
        pytest.param(
            place(4, (7, 9), 4), 7, [("expired", 4, 6)], id="retention was faster than we"
        ),
        pytest.param(place(4, (7, 9)), 7, [("expired", 4, 6)], id="the same without a ledger"),
        pytest.param(place(7, (0, 9), 3), 3, [("rewound", 3, 6)], id="an older backup"),
        pytest.param(
            place(7, (5, 9), 3),
            5,
            [("rewound", 5, 6), ("expired", 3, 4)],
            id="an older backup than Kafka's log",
        ),
        pytest.param(
            place(7, (7, 9), 3), 7, [("expired", 3, 6)], id="all that the backup lacks is gone"
        ),
        pytest.param(place(7, (0, 9)), 0, [("rewound", 0, 6)], id="the ledger is lost"),
        pytest.param(place(7, (2, 9)), 2, [("rewound", 2, 6)], id="lost, and the log has moved on"),
        pytest.param(place(9, (0, 9), 4), 4, [("rewound", 4, 8)], id="reset to the latest"),
        pytest.param(
            place(70, (0, 9), 70), 0, [("recreated", 9, 69)], id="the log is shorter than that"
        ),
        pytest.param(
            place(7, (0, 9), None, 70), 0, [("recreated", 0, 69)], id="another topic of this name"
        ),
        pytest.param(
            place(None, (2, 9), None, 70),
            2,
            [("recreated", 0, 69), ("expired", 0, 1)],
            id="another topic, and records of it are gone",
        ),
        pytest.param(
            place(70, (0, 99), 70, cut_at=20), 20, [("truncated", 20, 69)], id="others stand there"
        ),
        pytest.param(
            place(70, (0, 20), 70, cut_at=20), 20, [("truncated", 20, 69)], id="none, as yet"
        ),
        pytest.param(
            place(70, (30, 99), 70, cut_at=20),
            30,
            [("truncated", 30, 69)],
            id="of some none is left",
        ),
        pytest.param(place(0, (0, 0)), 0, [], id="nothing at all"),
    ],
)
def test_each_rule(where: PartitionState, start: int, findings: list[tuple[str, int, int]]) -> None:
    """Start and findings are what the module's docstring says."""
    decision = decide_start(where)
    found = [(each.kind, each.first_offset, each.last_offset) for each in decision.findings]
    assert (decision.start, found) == (start, findings)


offsets = st.integers(0, 40)


@given(st.none() | offsets, offsets, offsets, st.none() | offsets, st.none() | offsets)
def test_nothing_is_skipped_in_silence(
    committed: int | None, low: int, size: int, stored: int | None, earlier: int | None
) -> None:
    """Every offset between what the ledger has and the start is in an expired range."""
    if committed is not None and stored is not None:
        stored = min(stored, committed)
    earlier = None if stored is not None else earlier
    decision = decide_start(place(committed, (low, low + size), stored, earlier or None))
    assert decision.start >= low
    known = committed if stored is None or stored == committed else stored
    if earlier or known is None or (committed or 0) > low + size:
        known = stored or (0 if committed is None else low)
    expired: set[int] = set()
    for found in decision.findings:
        if found.kind == "expired":
            expired |= set(range(found.first_offset, found.last_offset + 1))
    missing = set(range(known, decision.start)) - expired
    assert not missing, f"skipped without a word: {sorted(missing)}"


def test_a_finding_is_never_empty() -> None:
    """A range has at least one offset."""
    assert all(
        found.first_offset <= found.last_offset
        for committed in (None, 0, 3, 9)
        for stored in (None, 0, 3)
        for found in decide_start(place(committed, (2, 5), stored)).findings
    )
