"""The breaker: stop before the commit when most of a batch is bad, since then it is no bad record."""

from trailhouse.consumer.batch.batch import Batch
from trailhouse.consumer.config import WorkerConfig
from trailhouse.schemas.errors import BreakerTrippedError

SHOWN_REASONS = 3


def check_share(batch: Batch, bad_rows: int, config: WorkerConfig) -> None:
    """Return when *bad_rows* of *batch* are few enough to be quarantined.

    Raises:
        BreakerTrippedError: They are more than `max_bad_share` of it and more than `max_bad_rows`. Permanent;
            the batch must not be committed.
    """
    # The share alone would stop a quiet topic for its one bad record.
    if bad_rows <= config.max_bad_rows or bad_rows <= config.max_bad_share * len(batch):
        return
    reasons = "; ".join(
        f"{count} times {reason}" for reason, count in list(batch.reasons())[:SHOWN_REASONS]
    )
    coordinates = ", ".join(
        f"{number} from offset {span.first_offset}" for number, span in sorted(batch.spans.items())
    )
    raise BreakerTrippedError(
        f"{bad_rows} of {len(batch)} records of a batch are not events ({reasons}; partition {coordinates}):"
        " stopped before the commit, nothing is lost: mend what writes to the topic, or raise"
        " TRAILHOUSE_WORKER_MAX_BAD_SHARE to quarantine them"
    )
