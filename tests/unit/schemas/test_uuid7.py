"""The rules of our event ids."""

import os
import uuid

import pytest

from trailhouse.schemas.uuid7 import is_uuid, uuid7


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version, variant and time stand where RFC 9562 wants them, in canonical text."""
    made = uuid7(0x0123456789AB * 1_000_000)
    read = uuid.UUID(made)

    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert made == str(read)
    assert read.int >> 80 == 0x0123456789AB


def test_ids_differ() -> None:
    """No two of many ids of the same millisecond are equal, and every random bit moves."""
    made = [uuid.UUID(uuid7(0)).int for _ in range(20_000)]
    ever_set = 0
    for number in made:
        ever_set |= number

    assert len(set(made)) == len(made)
    assert ever_set == 0x7000 << 64 | 0xBFFFFFFFFFFFFFFF, "expected every random bit set in some id"


def test_ids_are_in_order_of_the_clock() -> None:
    """Ids of one millisecond are ordered too, as far as 12 bits of its fraction tell them apart."""
    made = [uuid7(1_790_000_000_000_000_000 + 250 * number) for number in range(10_000)]

    assert made == sorted(made)
    assert uuid.UUID(uuid7(999_999)).int >> 64 & 0xFFF == 0xFFF


def test_a_forked_child_draws_other_numbers() -> None:
    """Parent and child never make the same id."""
    uuid7()
    read_end, write_end = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write_end, uuid7(0).encode())
        os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(read_end, 36).decode() != uuid7(0)


@pytest.mark.parametrize(
    "text",
    ["", "01a20f48", "01a20f485f117884a5c75ee1663b3800", "{01a20f48-5f11-7884-a5c7-5ee1663b3800}"],
)
def test_other_spellings_are_no_ids(text: str) -> None:
    """Only the form with dashes is an id."""
    assert not is_uuid(text)
