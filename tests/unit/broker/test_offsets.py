"""How far a group is behind a partition."""

import pytest

from trailhouse.broker.offsets import PartitionLag


@pytest.mark.parametrize(
    ("committed", "first", "lag"),
    [(None, 0, 9), (None, 4, 5), (2, 4, 5), (7, 4, 2), (9, 0, 0), (12, 0, 0)],
)
def test_lag_is_what_the_group_has_not_committed(
    committed: int | None, first: int, lag: int
) -> None:
    """From the committed offset, or where the log begins, to its end, those of an open transaction too."""
    part = PartitionLag(
        partition=0, first_offset=first, readable_end=6, end_offset=9, committed_offset=committed
    )
    assert part.lag_records == lag
