"""Where a partition is to be read from, and what is wrong with its offsets. Pure.

Compared are the offset that the group has committed, where Kafka's log begins and ends, what it has
there, and how far the ledger in ClickHouse goes. What they say about each other:

- committed and covered by the ledger: go on there;
- nothing committed: begin at the log's start;
- the log begins above what is stored, or above 0 where nothing was ever read: the records between have
  *expired*, nobody has them;
- committed, but not in the ledger: ClickHouse forgot (an older backup) or somebody moved the group's
  offsets. *Rewound*: go back to where the ledger ends; readers see no record twice;
- committed, and Kafka has others than the stored records below that, or none: its log was *truncated*,
  as by an unclean election; go back to the first of the others;
- committed above the log's end, or the ledger knows only an earlier topic of this name: *recreated*,
  begin at the log's start.
"""

from typing import NamedTuple

from trailhouse.consumer.monitoring.incident import Incident, Kind


class PartitionState(NamedTuple):
    """What is known of one partition before it is read.

    `stored_until` is the offset after the ledger's last record below `committed`, or of all when
    nothing is committed; None when the ledger has none there. `earlier_until` is the same of earlier
    topics of this name, and None when the ledger knows this one or no other. From `cut_at` on Kafka has
    others than the stored records, or none; None when it has the same.
    """

    partition: int
    committed: int | None
    log_start: int
    log_end: int
    stored_until: int | None
    earlier_until: int | None
    cut_at: int | None = None

    @property
    def is_never_read(self) -> bool:
        """Whether neither the group nor the ledger knows anything of it, nor of an earlier topic."""
        return self.committed is None and self.stored_until is None and self.earlier_until is None


class StartDecision(NamedTuple):
    """Where to read from, and every finding; an expired range may still be in the ledger in part."""

    start: int
    findings: tuple[Incident, ...]


def decide_start(state: PartitionState) -> StartDecision:
    """Return the decision on *state*; its start is never above a record that Kafka has and nobody stored."""
    number, committed, start, end, stored, earlier, cut_at = state
    if earlier is not None:
        return _decision(
            start, ("recreated", number, 0, earlier - 1), ("expired", number, 0, start - 1)
        )
    if committed is None:
        return _decision(start, ("expired", number, stored or 0, start - 1))
    if cut_at is not None:
        begin = max(cut_at, start)
        return _decision(begin, ("truncated", number, begin, committed - 1))
    if committed > end:
        lost_from = start if stored is None else stored
        return _decision(
            start,
            ("recreated", number, end, committed - 1),
            ("expired", number, lost_from, start - 1),
        )
    origin = min(start if stored is None else stored, committed)
    begin = max(origin, start)
    return _decision(
        begin,
        ("rewound", number, begin, committed - 1),
        ("expired", number, origin, start - 1),
    )


def _decision(start: int, *findings: tuple[Kind, int, int, int]) -> StartDecision:
    """Leave out the findings whose range is empty."""
    return StartDecision(
        start, tuple(Incident(*found) for found in findings if found[2] <= found[3])
    )
