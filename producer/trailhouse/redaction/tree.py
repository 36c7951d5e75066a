"""An object of JSON: what is secret in its texts, its keys, and under keys that name a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trailhouse.redaction.assignments import category_of
from trailhouse.redaction.key_names import MAX_KNOWN_NAMES, MAX_NAME_CHARACTERS, Named, named
from trailhouse.redaction.marker import blinded, is_marker
from trailhouse.redaction.personal import is_card
from trailhouse.redaction.secret_values import is_secret, looks_random

if TYPE_CHECKING:
    from trailhouse.redaction.marker import Mark
    from trailhouse.redaction.tally import Tally
    from trailhouse.redaction.text_redactor import TextRedactor

LEAST_CHARACTERS = 8
"""A shorter text holds no secret, or its key says so."""
MOST_CHARACTERS_OF_WORDS = 16
"""Up to so many letters and nothing else are no secret by themselves: a role, a status, a name."""
CARD_DIGITS = range(13, 20)


class TreeRedactor:
    """Returns objects without what is secret in them; what it is given stays as it is.

    Args:
        texts: Looks into texts.
        mark: What stands in the place of a value.
        has_cards: Whether numbers are looked at as cards.
        is_allowed: Tells whether a value may stay.
    """

    def __init__(
        self,
        texts: TextRedactor,
        mark: Mark,
        *,
        has_cards: bool,
        is_allowed: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._texts = texts
        self._mark = mark
        self._has_cards = has_cards
        self._is_allowed = is_allowed
        self._clean_keys: set[str] = set()
        """Keys that were looked into before: most events have the same."""
        self._plain_keys: set[str] = set()
        """Those of them that say nothing of their value."""

    def marking(self, mark: Mark) -> TreeRedactor:
        """Return another that finds the same, and marks it by *mark*."""
        return TreeRedactor(
            self._texts.marking(mark),
            mark,
            has_cards=self._has_cards,
            is_allowed=self._is_allowed,
        )

    def redacted(
        self, fields: dict[str, Any], tally: Tally, left_alone: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Return *fields* without secrets, or *fields* itself; *tally* counts them.

        Args:
            left_alone: Keys of *fields* whose values stay as they are.
        """
        changed: dict[str, Any] | None = None
        renamed = False
        plain_keys = self._plain_keys
        for key, value in fields.items():
            if key in left_alone:
                continue
            if key in plain_keys:  # most are
                new_key, new_value = key, self._value(value, tally)
            else:
                new_value = self._under(key, value, tally)
                new_key = self._key(key, tally)
            if new_value is not value or new_key is not key:
                if changed is None:
                    changed = dict(fields)
                if new_key is key:
                    changed[key] = new_value
                else:
                    renamed = True
                    changed[key] = (new_key, new_value)
        if changed is None:
            return fields
        return _renamed(fields, changed) if renamed else changed

    def _under(self, key: str, value: Any, tally: Tally) -> Any:
        kind = named(key)
        if kind is not None and "[" in key:
            kind = named(blinded(key))  # a category is a name like any other
        if kind is None or value is None or value is True or value is False:
            return self._value(value, tally)
        return self._named(key, kind, value, tally)

    def _named(self, key: str, kind: Named, value: Any, tally: Tally) -> Any:
        """Return what stands for *value*, which is or is in what *key* names as secret."""
        if isinstance(value, str):
            if self._is_secret(value.encode(), kind):
                return self._replaced(category_of(key), value.encode(), tally)
            return self._text(value, tally)
        if isinstance(value, list):
            items = [self._named(key, kind, item, tally) for item in value]
            return (
                items
                if any(new is not old for new, old in zip(items, value, strict=True))
                else value
            )
        if isinstance(value, dict) and kind is not Named.KEY:
            return self._object_under(key, value, tally)
        if kind is Named.SECRET and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._replaced(category_of(key), str(value).encode(), tally)
        return self._value(value, tally)

    def _is_secret(self, value: bytes, kind: Named) -> bool:
        if is_marker(value) or not is_secret(value, kind):
            return False
        return self._is_allowed is None or not self._is_allowed(value)

    def _object_under(self, key: str, fields: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """Return the object under a secret's name without secrets: a value in it may be one by its look alone."""
        changed = {}
        for name, value in fields.items():
            if (
                isinstance(value, str)
                and looks_random(value.encode())
                and self._is_secret(value.encode(), Named.MAYBE)
            ):
                changed[name] = self._replaced(category_of(key), value.encode(), tally)
        return self.redacted(fields | changed if changed else fields, tally)

    def _replaced(self, category: str, secret: bytes, tally: Tally) -> str:
        tally.add(category)
        return self._mark(category, secret).decode()

    def _value(self, value: Any, tally: Tally) -> Any:
        if isinstance(value, str):
            return self._text(value, tally)
        if isinstance(value, dict):
            return self.redacted(value, tally)
        if isinstance(value, list):
            items = [self._value(item, tally) for item in value]
            return (
                items
                if any(new is not old for new, old in zip(items, value, strict=True))
                else value
            )
        if self._has_cards and type(value) is int and value > 10**12:
            digits = str(value).encode()
            if len(digits) in CARD_DIGITS and is_card(digits):
                return self._replaced("card", digits, tally)
        return value

    def _key(self, key: str, tally: Tally) -> str:
        if key in self._clean_keys:
            return key
        new_key = self._text(key, tally)
        if new_key is key and len(key) <= MAX_NAME_CHARACTERS:
            if len(self._clean_keys) >= MAX_KNOWN_NAMES:
                self._clean_keys.clear()
                self._plain_keys.clear()
            self._clean_keys.add(key)
            if named(key) is None:
                self._plain_keys.add(key)
        return new_key

    def _text(self, text: str, tally: Tally) -> str:
        if len(text) < LEAST_CHARACTERS:
            return text
        if len(text) <= MOST_CHARACTERS_OF_WORDS and text.isalpha() and text.isascii():
            return text
        redacted = self._texts.redacted(text.encode(), tally)
        return text if redacted is None else redacted.decode()


def _renamed(fields: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Return *changed* with new keys, in order; where two became the same, the later gets a number."""
    result: dict[str, Any] = {}
    kept = {key for key in fields if not isinstance(changed[key], tuple)}
    numbers: dict[str, int] = {}  # the last of each name: many keys may become the same
    for key, value in changed.items():
        if not isinstance(value, tuple):
            result[key] = value
            continue
        new_key, number = value[0], numbers.get(value[0], 1)
        while new_key in result or new_key in kept:
            number += 1
            new_key = f"{value[0]}#{number}"
        numbers[value[0]] = number
        result[new_key] = value[1]
    return result
