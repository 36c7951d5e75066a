"""Shares of rows: every session is in just one of them, whatever sample they were cut by."""

import re

from hypothesis import given
from hypothesis import strategies as st

from trailhouse.operate.verify.rows.shares import shares
from trailhouse.operate.verify.rows.stream import Wanted

sessions = st.binary(max_size=6)


@given(sample=st.lists(sessions, max_size=30), count=st.integers(1, 9), session=sessions)
def test_each_session_is_in_one_share(sample: list[bytes], count: int, session: bytes) -> None:
    """Also where the sample is empty, or holds one session alone."""
    cut = list(shares(Wanted("true", {}), [each.hex() for each in sample], count))
    assert 1 <= len(cut) <= count
    assert sum(is_within(each.condition, session) for each in cut) == 1


def is_within(condition: str, session: bytes) -> bool:
    """Tell whether *session* meets a share's condition, as ClickHouse compares bytes."""
    bounds = re.findall(r"session_id (>=|<) unhex\('([0-9a-f]*)'\)", condition)
    return all(
        session >= bytes.fromhex(bound) if sign == ">=" else session < bytes.fromhex(bound)
        for sign, bound in bounds
    )


def test_what_is_wanted_is_wanted_of_each_share() -> None:
    """The condition, its values and what is to be done with the rows stay."""
    wanted = Wanted("tenant_id = {tenant:String}", {"tenant": "a"}, has_columns=False)
    for each in shares(wanted, ["61", "62"], 2):
        assert each.condition.startswith("tenant_id = {tenant:String} AND session_id ")
        assert each._replace(condition=wanted.condition) == wanted
