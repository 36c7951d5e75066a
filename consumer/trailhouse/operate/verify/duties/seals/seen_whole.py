"""Which seals of a round were seen to be whole; of the others records are read, for some at a time. Pure."""

from collections.abc import Sequence

from trailhouse.attesting.seal_rounds import IsWhole
from trailhouse.attesting.stored_seals import Carrier
from trailhouse.proof.seal import Seal
from trailhouse.proof.seal_check import CountedSeal

FEW_BYTES = 4 * 1024 * 1024
"""Of seals' records: half a million records are named by them, and in memory at a time."""


class TooManySealsError(Exception):
    """Records of more seals must be looked at than are in memory at a time."""


def are_few(carriers: Sequence[Carrier]) -> bool:
    """Tell whether the records that the seals of *carriers* name may be in memory at a time."""
    return len(carriers) == 1 or sum(each.size_bytes for each in carriers) <= FEW_BYTES


class SeenWhole:
    """Notes the `seals` whose records were seen to be all there, by *is_whole*."""

    def __init__(self, is_whole: IsWhole) -> None:
        self._is_whole = is_whole
        self._other_bytes = 0
        self.seals: list[Seal] = []

    def is_whole(self, carrier: Carrier, counted: CountedSeal) -> bool:
        """Tell it of a seal."""
        is_whole = self._is_whole(carrier, counted)
        if is_whole:
            self.seals.append(counted.seal)
        else:
            self._other_bytes += carrier.size_bytes
        return is_whole

    def is_whole_of_few(self, carrier: Carrier, counted: CountedSeal) -> bool:
        """Tell it of a seal, while there are few others; where there are more it ends by `TooManySealsError`."""
        is_whole = self.is_whole(carrier, counted)
        if self._other_bytes > FEW_BYTES:
            raise TooManySealsError
        return is_whole
