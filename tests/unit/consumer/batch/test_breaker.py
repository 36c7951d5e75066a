"""The breaker's rule."""

import pytest

from kafka_records import batch_of
from trailhouse.consumer import WorkerConfig
from trailhouse.consumer.batch.breaker import check_share
from trailhouse.schemas import AuditEvent
from trailhouse.schemas.errors import (
    BreakerTrippedError,
)

GOOD = AuditEvent(type="a", session_id="s").record


@pytest.mark.parametrize(
    ("good", "bad", "stops"),
    [(0, 10, False), (0, 11, True), (11, 11, False), (10, 11, True), (100, 50, False)],
)
def test_breaker_needs_share_and_number(good: int, bad: int, stops: bool) -> None:
    """It stops when bad records are more than their share and more than their number."""
    config = WorkerConfig(max_bad_share=0.5, max_bad_rows=10)
    batch = batch_of([GOOD] * good + [b"bad"] * bad)
    if stops:
        with pytest.raises(
            BreakerTrippedError, match=rf"{bad} of {good + bad} records .*nothing is lost"
        ):
            check_share(batch, len(batch.bad), config)
    else:
        check_share(batch, len(batch.bad), config)
