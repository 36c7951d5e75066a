"""Cut the rows of the log into shares by session, so that several processes each look at some. Pure.

Shares cover every session there can be, so that no row is left out and none is looked at twice, whatever the sample
says: whoever answers a false one makes a run slower, and changes no verdict.
"""

from collections.abc import Iterator, Sequence

from trailhouse.operate.verify.rows.stream import Wanted

SHARES_EACH = 4
"""For each process: some end sooner than others."""
SAMPLE = 2_048
SAMPLE_SQL = f"SELECT groupArraySample({SAMPLE}, 1)(hex(session_id)) FROM event_log WHERE {{}}"  # noqa: S608 - names of ours


def shares(wanted: Wanted, sample: Sequence[str], count: int) -> Iterator[Wanted]:
    """Yield *wanted* in *count* shares or fewer, cut where the *sample* of sessions, in hexadecimal, says.

    Raises:
        ValueError: One of the sample is not hexadecimal.
    """
    sessions = sorted(bytes.fromhex(each) for each in sample)
    cuts = sorted({sessions[len(sessions) * each // count] for each in range(1, count) if sessions})
    for first, end in zip((None, *cuts), (*cuts, None), strict=True):
        bounds = [wanted.condition]
        if first is not None:
            bounds.append(f"session_id >= unhex('{first.hex()}')")
        if end is not None:
            bounds.append(f"session_id < unhex('{end.hex()}')")
        yield wanted._replace(condition=" AND ".join(bounds))
