"""Words in `data` as SQL: a quick look at the record's bytes first, then an exact one at `data` itself. Pure."""

import re
from collections.abc import Sequence
from typing import Any

from trailhouse.query.filtering.filters import can_be_stored
from trailhouse.query.filtering.search_filter import Words
from trailhouse.store.text_index import DATA

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
            "\u2028": "\\u2028", "\u2029": "\\u2029"}  # fmt: skip
_ESCAPE = r"\\u[0-9A-Fa-f]{4}|\\[^u]"
_SIGNS = rf"^(?s:[^\\]|{_ESCAPE})*?"
"""From the start, sign by sign: what follows does not begin within an escape."""
_STRINGS = rf'^[^"]*(?:"(?:[^"\\\\]|{_ESCAPE})*"[^"]*)*"'
"""From the start to within a string or a key: every quote before it that is no sign of a text opens or closes one."""
_BETWEEN_STRINGS = re.compile(r"(?=.*[,:{}\[\]]):?[-+.0-9Eaeflnrstu,{}\[\]]*")
"""What JSON itself may have between strings, but for a number, or true, false or null, alone."""
_ENDS_OF_ESCAPES = frozenset('bfnrtu"\\0123456789abcdefABCDEF')
_LIKE_SIGNS = re.compile(r"[\\%_]")
_WORD = re.compile(r"[0-9A-Za-z\u0080-\U0010ffff]{4,}")
"""A word of the text index, long enough that ClickHouse goes through all words for what has it as a part."""
_MOST_PARTS = 3
_WORD_SIGNS = r"\p{L}\p{M}\p{N}_"


def words_where(words: Sequence[Words], prefix: str = "w") -> tuple[str, dict[str, Any]]:
    """Return the condition on `record` that holds all of *words*, and the values that it names."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    for place, each in enumerate(words):
        condition = _condition(each, f"{prefix}{place}", values)
        parts.append(f"NOT ({condition})" if each.negated else condition)
    return " AND ".join(parts) or "true", values


def _condition(each: Words, name: str, values: dict[str, Any]) -> str:
    if not can_be_stored(each.text):
        return "false"
    text = as_clickhouse_writes(each.text)
    # LIKE and not position: by it ClickHouse asks the text index, where there is one.
    values[name] = _like(text)
    # Every other spelling of a text has one of these escapes in it, so the quick look misses none.
    values[f"{name}r"] = _as_records_have_it(text)
    quick = [f"position(record, {{{name}r:String}}) > 0", "position(record, '\\\\u') > 0"]
    if "/" in each.text:
        quick.append("position(record, '\\\\/') > 0")
    exact = f"{DATA} LIKE {{{name}:String}}"
    for place, part in enumerate(_parts(text)):
        values[f"{name}i{place}"] = _like(part)
        exact += f" AND {DATA} LIKE {{{name}i{place}:String}}"
    if _BETWEEN_STRINGS.fullmatch(text):
        values[f"{name}p"] = within_a_string(text, is_whole=each.whole)
        exact += f" AND match({DATA}, {{{name}p:String}})"
    elif each.whole or text[0] in _ENDS_OF_ESCAPES:
        values[f"{name}p"] = whole_word(text) if each.whole else _SIGNS + _quoted(text)
        exact += f" AND match({DATA}, {{{name}p:String}})"
    return f"({' OR '.join(quick)}) AND {exact}"


def _like(text: str) -> str:
    return "%" + _LIKE_SIGNS.sub(r"\\\g<0>", text) + "%"


def _parts(text: str) -> list[str]:
    """Return the longest words of *text*, each of which must be there too: the text index leads to them one by one."""
    found = _WORD.findall(text)
    return [] if found == [text] else sorted(set(found), key=len)[-_MOST_PARTS:]


def as_clickhouse_writes(text: str) -> str:
    """Return *text* as ClickHouse writes it within a JSON string."""
    return "".join(
        _ESCAPES.get(each) or (f"\\u{ord(each):04X}" if each < " " else each) for each in text
    )


def _as_records_have_it(text: str) -> str:
    """Return what `as_clickhouse_writes` gave as most records have it, which escape no more than they must."""
    return text.replace("\\u2028", "\u2028").replace("\\u2029", "\u2029")


def whole_word(text: str) -> str:
    """Return the regular expression of *text* by itself, of what `as_clickhouse_writes` gave."""
    return f"{_SIGNS}(?:^|[^\\\\{_WORD_SIGNS}]|{_ESCAPE}){_quoted(text)}(?:[^{_WORD_SIGNS}]|$)"


def within_a_string(text: str, *, is_whole: bool) -> str:
    """Return the regular expression of *text* within a string or a key, and not where JSON itself has such signs."""
    if not is_whole:
        return f'{_STRINGS}(?:[^"\\\\]|{_ESCAPE})*?{_quoted(text)}'
    before = f'(?:(?:[^"\\\\]|{_ESCAPE})*?(?:[^"\\\\{_WORD_SIGNS}]|{_ESCAPE}))?'
    return f"{_STRINGS}{before}{_quoted(text)}(?:[^{_WORD_SIGNS}]|$)"


def _quoted(text: str) -> str:
    # RE2 takes a backslash before any ASCII sign that is no letter or digit.
    return "".join(f"\\{each}" if each.isascii() and not each.isalnum() else each for each in text)
