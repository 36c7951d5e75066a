"""What can be wrong for good with a range of offsets: the kinds of incidents. Pure."""

from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "expired",
    "rewound",
    "recreated",
    "truncated",
    "open_transaction",
    "create_time",
    "unreadable",
    "skipped",
    "no_record",
    "forked",
    "unproven",
    "contradicted",
]
"""The first four are judged before a partition is read, the others noticed by whoever meets them."""
KINDS: tuple[Kind, ...] = get_args(Kind)


class Incident(NamedTuple):
    """What is wrong with a range of offsets, both ends inclusive."""

    kind: Kind
    partition: int
    first_offset: int
    last_offset: int
