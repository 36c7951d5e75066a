"""Seals that were seen to be whole, and how many others are looked at at a time."""

from typing import cast

import pytest

from trailhouse.attesting.stored_seals import Carrier
from trailhouse.operate.verify.duties.seals.seen_whole import (
    FEW_BYTES,
    SeenWhole,
    TooManySealsError,
    are_few,
)
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import CountedSeal


class Counted:
    """Stands for a seal that counts: what is noted of it is the seal alone."""

    seal = cast("Seal", object())


COUNTED = cast("CountedSeal", Counted())


def carrier(size_bytes: int, offset: int = 0) -> Carrier:
    """Return the event of a seal of that size."""
    return Carrier("s", "", 0, bytes(16), "t", "id", 0, offset, 0, 0, size_bytes)


def test_records_of_a_few_megabytes_of_seals_are_in_memory_at_a_time() -> None:
    """One seal, however large it is, is few: it cannot be cut."""
    assert are_few([carrier(FEW_BYTES // 2)] * 2)
    assert not are_few([carrier(FEW_BYTES // 2)] * 3)
    assert are_few([carrier(FEW_BYTES * 3)])


def test_seals_that_were_seen_to_be_whole_count_for_nothing() -> None:
    """Only the others are too many, and only where that is asked."""
    seen = SeenWhole(lambda carrier, counted: carrier.offset == 0)
    assert all(seen.is_whole_of_few(carrier(FEW_BYTES), COUNTED) for _ in range(3))
    assert not seen.is_whole_of_few(carrier(FEW_BYTES, 1), COUNTED)
    assert not seen.is_whole(carrier(FEW_BYTES, 1), COUNTED)
    with pytest.raises(TooManySealsError):
        seen.is_whole_of_few(carrier(1, 1), COUNTED)
    assert len(seen.seals) == 3
