"""Records taken as columns say of seals what they say one by one."""

from array import array
from collections.abc import Sequence
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.duties.seals.sealed_records import SealedRow, faults_in, faults_of
from trailhouse.operate.verify.duties.seals.sealed_runs import RunsOfLogger, SealedRun
from trailhouse.proof.policy import ServiceKey
from trailhouse.proof.seal import sealed
from trailhouse.proof.seal_check import CountedSeal, LoggerSeals

KEY = ServiceKey(service="bot", public_key="key", tenants=("a",))
SEALED = 20


def digest_of(seq: int) -> bytes:
    """Return the digest of the record that was sealed."""
    return sha256(b"%d" % seq).digest()


def seals_of(sizes: Sequence[int], is_closed: bool) -> LoggerSeals:
    """Return seals over records from 0 on, as many each as *sizes* says."""
    seals, first = LoggerSeals("bot", "p"), 0
    for place, size in enumerate(sizes):
        is_last = is_closed and place == len(sizes) - 1
        seals.add(
            CountedSeal(
                sealed(
                    "bot",
                    "p",
                    first,
                    map(digest_of, range(first, first + size)),
                    next_within_seconds=60,
                    is_last=is_last,
                    own_seq=first + size if is_last else None,
                ),
                KEY,
            )
        )
        first += size
    return seals


def runs_of(rows: Sequence[SealedRow], size: int) -> list[SealedRun]:
    """Return *rows* as ClickHouse's blocks would bring them, *size* each."""
    found = []
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        tenants = sorted({row.tenant_id for row in part})
        found.append(
            SealedRun(
                array("Q", [row.seq for row in part]),
                b"".join(row.digest for row in part),
                tenants,
                [tenants.index(row.tenant_id) for row in part],
                bytes(row.is_seal for row in part),
            )
        )
    return found


ROW = st.builds(
    lambda seq, is_other, tenant: SealedRow(
        seq, digest_of(seq + 1_000 * is_other), tenant, is_seal=not tenant
    ),
    st.integers(0, SEALED + 3),
    st.booleans(),
    st.sampled_from(["", "a", "b"]),
)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.booleans(),
    st.sets(st.integers(0, SEALED)),
    st.lists(ROW, max_size=3),
    st.integers(1, 9),
)
def test_columns_say_what_rows_do(
    sizes: list[int], is_closed: bool, missing: set[int], added: list[SealedRow], size: int
) -> None:
    """Whatever is missing, added, foreign or doubled, and however blocks are cut, the same faults are told."""
    seals = seals_of(sizes, is_closed)
    rows = [SealedRow(seq, digest_of(seq), "a") for seq in range(sum(sizes)) if seq not in missing]
    rows = sorted([*rows, *added], key=lambda row: row.seq)
    by_columns = list(faults_in(seals, RunsOfLogger(iter(runs_of(rows, size)))))
    assert by_columns == list(faults_of(seals, rows))


def test_what_is_as_sealed_is_not_taken_apart() -> None:
    """Of records that are just those of the seal, none becomes a row."""
    seals = seals_of([7, 5], is_closed=False)
    rows = [SealedRow(seq, digest_of(seq), "a") for seq in range(12)]
    records = RunsOfLogger(iter(runs_of(rows, 4)))
    assert [records.within(piece) for piece in seals.pieces] == [None, None]
    assert list(records.rest()) == []
