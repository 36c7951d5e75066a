"""What the engine counted, as rates."""

from benchmarks.engine_counts import EngineCounts


def test_a_rate_is_what_came_since_without_the_question_itself() -> None:
    """Parts are told by table and in all, a table that came since counts, and so does no question of ours."""
    before = EngineCounts(
        {"inserts": 10, "selects": 5, "merges": 1}, {"event_log": 10, "untouched": 3}
    )
    after = EngineCounts(
        {"inserts": 20, "selects": 8, "merges": 3},
        {"event_log": 16, "untouched": 3, "batch_ledger": 4},
    )
    assert after.a_second(before, 2.0) == {
        "inserts a second": 5.0,
        "selects a second": 1.0,
        "merges a second": 1.0,
        "parts a second": 5.0,
        "parts of event_log a second": 3.0,
        "parts of batch_ledger a second": 2.0,
    }
