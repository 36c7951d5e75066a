"""Which functions' names stand for something of ClickHouse's, and what in a table's text is a rule, what a name."""

import pytest

from trailhouse.operate.verify.duties.views.shadowing import stands_for_another
from trailhouse.operate.verify.duties.views.shapes import Shape, differences, shape_of_table

AGGREGATES = {"count", "sum", "groupUniqArray", "minMap"}
COMBINATORS = ["If", "Array", "Distinct", "State", "Map"]
_PLAIN = "(`type` String) ENGINE = MergeTree ORDER BY type{} SETTINGS index_granularity = 8192"


@pytest.mark.parametrize(
    "name", ["countIf", "countDistinct", "groupUniqArrayArray", "sumArrayIfState", "lambda"]
)
def test_what_clickhouse_would_have_understood_is_told(name: str) -> None:
    """An aggregate with one combinator or several, and what the parser itself makes."""
    assert stands_for_another(name, AGGREGATES, COMBINATORS)


@pytest.mark.parametrize(
    "name", ["cents", "If", "countif", "countOf", "sumif", "myArray", "countIf2"]
)
def test_a_name_of_ones_own_is_not(name: str) -> None:
    """Combinators are told apart by case, and stand at the end of an aggregate's name."""
    assert not stands_for_another(name, AGGREGATES, COMBINATORS)


def _table(text: str) -> Shape:
    keys = ["", "type", "type", "", "MergeTree"]
    return shape_of_table("MergeTree", f"CREATE TABLE {{database}}.t {text}", keys, {})


def _changed(text: str) -> set[str]:
    found, wanted = {"t": _table(text)}, {"t": _table(_PLAIN.format(""))}
    return {what for _, what in differences(found, wanted)}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "(` TTL x RECOMPRESS CODEC(NONE) SETTINGS ` UInt8, `type` String) ENGINE = MergeTree"
            " ORDER BY type TTL d + toIntervalDay(1) SETTINGS index_granularity = 8192",
            "TTL",
        ),
        (
            "(`, CONSTRAINT ) ENGINE = ` UInt8, `type` String, CONSTRAINT c CHECK type != 'x') ENGINE = MergeTree",
            "constraints",
        ),
        ("(`type` String, PROJECTION p (SELECT 1)) ENGINE = MergeTree", "projections"),
        (
            "(`type` String TTL d + toIntervalDay(1)) ENGINE = MergeTree ORDER BY type"
            " TTL d + toIntervalDay(1) RECOMPRESS CODEC(ZSTD(6)) SETTINGS index_granularity = 8192",
            "TTL of columns",
        ),
    ],
)
def test_no_name_hides_a_rule(text: str, what: str) -> None:
    """Who looks for the rule by its word comes to the name first."""
    assert _changed(text) == {what}


@pytest.mark.parametrize(
    "text",
    [
        "(` TTL x ` UInt8, `, CONSTRAINT c CHECK 0` UInt8, `, PROJECTION p` UInt8) ENGINE = MergeTree ORDER BY type",
        "(`type` String DEFAULT ', CONSTRAINT c CHECK 0) ENGINE = Memory TTL d + 1') ENGINE = MergeTree ORDER BY type",
        _PLAIN.format(" TTL d + toIntervalDay(1) RECOMPRESS CODEC(ZSTD(6)), d TO DISK 'cold'"),
    ],
)
def test_no_name_is_taken_for_a_rule(text: str) -> None:
    """Nor a text; and what only packs or moves old parts is no matter."""
    assert _changed(text) == set()
