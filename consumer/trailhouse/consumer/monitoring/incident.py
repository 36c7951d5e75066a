"""What can be wrong for good with a range of offsets: the kinds of incidents. Pure."""

from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "expired", "rewound", "recreated", "open_transaction", "create_time", "unreadable", "skipped"
]
"""The first three are judged before a partition is read; see `GroupCheck`, `SenderTimes`, `Examination` and `skip`."""
KINDS: tuple[Kind, ...] = get_args(Kind)


class Finding(NamedTuple):
    """What is wrong with a range of offsets, both ends inclusive."""

    kind: Kind
    partition: int
    first_offset: int
    last_offset: int
