"""A whole filter, words in `data` included, as SQL over the views that hold records. Pure."""

from typing import Any

from trailhouse.query.filtering.conditions import where
from trailhouse.query.filtering.search_filter import SearchFilter
from trailhouse.query.filtering.words import words_where


def log_where(wanted: SearchFilter, tenant_id: str | None) -> tuple[str, dict[str, Any]]:
    """Return the condition that holds all that *wanted* asks, and the values that it names."""
    condition, values = where(wanted, tenant_id=tenant_id)
    # The small columns first: words are looked for in what they leave.
    words, of_words = words_where(wanted.words)
    return f"{condition} AND {words}", values | of_words
