"""The rules of a process: the table of shapes, what contexts show, and what its settings add, replace and allow."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trailhouse.redaction.assignments import ASSIGNMENTS
from trailhouse.redaction.command_rules import COMMAND_RULES
from trailhouse.redaction.config import RedactionConfig
from trailhouse.redaction.context_rules import CONTEXT_RULES
from trailhouse.redaction.encoded import ENCODED
from trailhouse.redaction.matching import BadPatternError, SearchPattern, compiled
from trailhouse.redaction.personal import CARDS, PERSONAL
from trailhouse.redaction.rule import Rule
from trailhouse.redaction.shape_rules import rule_of, user_rule
from trailhouse.redaction.shapes import SHAPES
from trailhouse.schemas.errors import ConfigError

REPLACE = "@replace"
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,63}")
LONGEST_FILE_BYTES = 1_000_000


class Patterns(NamedTuple):
    """What a patterns file says."""

    added: tuple[Rule, ...] = ()
    removed: frozenset[str] = frozenset()
    replaces: bool = False
    """Its patterns stand in the place of the table of shapes."""


def rules_of(config: RedactionConfig) -> list[Rule]:
    """Return the rules that *config* asks for, in the order of their precedence.

    Raises:
        ConfigError: A pattern of the patterns file is broken; names file and line. Permanent.
    """
    patterns = read_patterns(config.patterns_file) if config.patterns_file else Patterns()
    kinds = config.kinds_of_pii
    rules = [
        *patterns.added,
        *(() if patterns.replaces else _rules_of_shapes()),
        *CONTEXT_RULES,
        *COMMAND_RULES,
        *ASSIGNMENTS,
        ENCODED,
        *((CARDS,) if "card" in kinds else ()),
        *(rule for kind, rule in PERSONAL.items() if kind in kinds),
    ]
    added = set(map(id, patterns.added))
    return [rule for rule in rules if id(rule) in added or rule.category not in patterns.removed]


@functools.cache  # loggers come and go, and these are the same for all of them
def _rules_of_shapes() -> tuple[Rule, ...]:
    return tuple(map(rule_of, SHAPES))


def read_patterns(file: str) -> Patterns:
    """Return what the patterns file *file* says: on each line a category and a pattern, or a category to leave out.

    Raises:
        ConfigError: A line is wrong; names it, and why, without what stands in it. Permanent.
    """
    try:
        content = Path(file).read_bytes()
        text = content.decode()
    except OSError as error:
        raise ConfigError(f"redaction.patterns_file: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"redaction.patterns_file: {file} is not UTF-8 text") from None
    if len(content) > LONGEST_FILE_BYTES:
        raise ConfigError(
            f"redaction.patterns_file: {file} has more than {LONGEST_FILE_BYTES} bytes"
        )
    added: list[Rule] = []
    removed: set[str] = set()
    replaces = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped == REPLACE:
            replaces = True
            continue
        category, _, pattern = stripped.partition(" ")
        try:
            if category.startswith("-"):
                removed.add(_category(category[1:]))
            else:
                added.append(user_rule(_category(category), pattern.strip()))
        except BadPatternError as error:
            raise ConfigError(f"redaction.patterns_file: {file}, line {number}: {error}") from None
    return Patterns(tuple(added), frozenset(removed), replaces)


def _category(name: str) -> str:
    if not _CATEGORY.fullmatch(name):
        raise BadPatternError(
            "a line begins with a category of a-z, 0-9 and _, then a blank and a pattern"
        )
    return name


def allowed_by(allow: str) -> Callable[[bytes], bool] | None:
    """Return what tells whether something may stay, by the setting `allow`; None where everything goes.

    Raises:
        ConfigError: A pattern in it is broken. Permanent.
    """
    exact: set[bytes] = set()
    patterns: list[SearchPattern] = []
    for each in allow.splitlines() if "\n" in allow else allow.split():
        entry = each.strip()
        if len(entry) > 2 and entry.startswith("/") and entry.endswith("/"):
            try:
                patterns.append(compiled(entry[1:-1]))
            except BadPatternError as error:
                raise ConfigError(
                    f"redaction.allow: pattern {len(patterns) + 1}: {error}"
                ) from None
        elif entry:
            exact.add(entry.encode())
    if not exact and not patterns:
        return None
    return lambda value: value in exact or any(one.fullmatch(value) for one in patterns)
