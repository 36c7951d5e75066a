"""From a shape of the table, or a pattern of the user's, to a rule with its opener."""

import re

from trailhouse.redaction.matching import BadPatternError, compiled
from trailhouse.redaction.rule import Rule, loosened
from trailhouse.redaction.shapes import Shape, boundary_and_token

_NOT_ENCODED_ALIKE = re.compile(
    r'\[\^|(?<!\\)\.|\\[sSWDnrtfvabBAzCpPQEx\\"0-9]|["^$\x00-\x1f]|\(\?[a-zA-Z-]*s'
)
"""What may match something that JSON writes in another way, or that depends on what stands around it."""
_SIGNS_ENCODED_ALIKE = re.compile(r"\[(?:\\[wd]|[A-Za-z0-9.+/=%~!@|-])+\]")
_AROUND = re.compile(r"\\[bBAz]|(?<!\\)[$^](?![\]])")


_LEAST_TELLING = 4
"""Characters of an anchor that by itself opens few texts."""


def rule_of(shape: Shape) -> Rule:
    """Return the rule that takes out secrets of *shape*.

    Its opener is its own pattern without what must stand before the token: an alternation of that, so often, would make
    each state of the automaton large. Where JSON may write the token in another way, it is one of its anchors.
    """
    _, token = boundary_and_token(shape.pattern)
    begins_with_any = (
        token.startswith(("([", "(\\", "((?:[", "((?:\\"))
        and min(map(len, shape.anchors), default=0) >= _LEAST_TELLING
    )
    if begins_with_any or _NOT_ENCODED_ALIKE.search(token):
        flag = "i" if shape.ignores_case else ""
        openers = [f"(?{flag}:{re.escape(anchor)})" for anchor in shape.anchors]
    else:
        openers = [loosened(token)]
    return Rule(
        shape.category,
        shape.pattern,
        openers or [loosened(token)],
        words=shape.anchors,
        is_token=True,
    )


def user_rule(category: str, pattern: str) -> Rule:
    """Return the rule that takes out what matches *pattern*: its first group, or all of it.

    Raises:
        BadPatternError: It is no pattern, or matches an empty text.
    """
    if not pattern:
        raise BadPatternError("a pattern is missing behind the category")
    if compiled(pattern).fullmatch(b"") is not None:
        raise BadPatternError("the pattern matches an empty text")
    alike = _AROUND.sub("", pattern)
    # Where JSON may write what it matches in another way, only the texts themselves can tell: each event is opened.
    opener = "" if _NOT_ENCODED_ALIKE.search(alike) else loosened(alike)
    return Rule(category, pattern, [opener], is_ours=False)
