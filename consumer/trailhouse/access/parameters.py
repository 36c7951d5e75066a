"""What a question takes: named parameters, each with its kind, its rule, and its JSON Schema. Pure."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from trailhouse.query.filtering.grammar import MAX_TEXT_CHARACTERS
from trailhouse.schemas.errors import QueryError

Kind = Literal[
    "text", "texts", "filter", "time", "count", "flag", "choice", "choices", "uuid", "cursor"
]
MAX_VALUE_CHARACTERS = 4_096
MAX_VALUES = 100
_TRUTH = {"true": True, "false": False}
_is_count = re.compile(r"[0-9]{1,19}").fullmatch
_is_time = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
_is_uuid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a question.

    Attributes:
        name: Its name, the same at each door.
        kind: What it holds.
        meaning: What it does, one sentence.
        is_required: Whether there is no answer without it.
        default: What counts where it is not given.
        choices: The values there are, of a choice.
        least, most: Bounds of a count; of several values, how many at most.
        longest: Characters of a text, at most; 0 for what any text may have.
        example: A value that can be asked for.
    """

    name: str
    kind: Kind
    meaning: str
    is_required: bool = False
    default: object = None
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    longest: int = 0
    example: object = None

    @property
    def is_many(self) -> bool:
        """Whether it may be given several times."""
        return self.kind in ("texts", "choices")

    def value_of(self, given: object) -> object:
        """Return *given*, as it came through a door, as the reader takes it.

        Raises:
            QueryError: It breaks the rule, which is named. Permanent.
        """
        if self.is_many:
            several = [given] if isinstance(given, str) else given
            most = self.most or MAX_VALUES
            if not isinstance(several, Sequence) or not 0 < len(several) <= most:
                raise QueryError(f"{self.name}: must be 1 to {most} values")
            return tuple(self._one(each) for each in several)
        return self._one(given)

    def _one(self, given: object) -> object:
        if self.kind == "count":
            return self._count(given)
        if self.kind == "flag":
            return self._flag(given)
        if not isinstance(given, str):
            raise QueryError(f"{self.name}: must be text")
        if len(given) > self._most_characters:
            raise QueryError(
                f"{self.name}: is too long; {self._most_characters:,} characters at most"
            )
        match self.kind:
            case "time":
                return time_of(self.name, given)
            case "uuid" if _is_uuid(given) is None:
                raise QueryError(f"{self.name}: must be a UUID")
            case "choice" | "choices" if given not in self.choices:
                raise QueryError(f"{self.name}: must be one of {', '.join(self.choices)}")
            case _:
                return given

    def _count(self, given: object) -> int:
        if isinstance(given, str) and _is_count(given):
            given = int(given)
        if isinstance(given, float) and given.is_integer():  # JSON does not tell 5.0 from 5
            given = int(given)
        if not isinstance(given, int) or isinstance(given, bool):
            raise QueryError(f"{self.name}: must be a whole number")
        if not self.least <= given <= self.most:
            raise QueryError(f"{self.name}: must be from {self.least} to {self.most}")
        return given

    def _flag(self, given: object) -> bool:
        given = _TRUTH.get(given) if isinstance(given, str) else given
        if not isinstance(given, bool):
            raise QueryError(f"{self.name}: must be true or false")
        return given

    @property
    def _most_characters(self) -> int:
        return self.longest or (
            MAX_TEXT_CHARACTERS if self.kind == "filter" else MAX_VALUE_CHARACTERS
        )

    def schema(self) -> dict[str, object]:
        """Return what it takes as JSON Schema."""
        one = self._schema_of_one()
        if self.default is not None and not self.is_many:
            one["default"] = self.default
        if not self.is_many:
            return one
        return {"type": "array", "items": one, "minItems": 1, "maxItems": self.most or MAX_VALUES}

    def _schema_of_one(self) -> dict[str, object]:
        match self.kind:
            case "count":
                return {"type": "integer", "minimum": self.least, "maximum": self.most}
            case "flag":
                return {"type": "boolean"}
            case "time":
                return {"type": "string", "format": "date-time"}
            case "uuid":
                return {"type": "string", "format": "uuid"}
            case "choice" | "choices":
                return {"type": "string", "enum": list(self.choices)}
            case _:
                return {"type": "string", "maxLength": self._most_characters}


def time_of(name: str, text: str) -> dt.datetime:
    """Return the time that *text* names, RFC 3339: with a zone, and cut to the microsecond.

    Raises:
        QueryError: It is not one. Permanent.
    """
    rule = f"{name}: must be a time as in RFC 3339, with its zone, such as 2026-10-31T08:00:00Z"
    if _is_time(text) is None:
        raise QueryError(rule)
    try:
        moment = dt.datetime.fromisoformat(text.upper())
        moment.astimezone(dt.UTC)  # at either end of what Python counts there is no UTC for it
    except (ValueError, OverflowError):
        raise QueryError(rule) from None
    return moment


def values_of(parameters: Sequence[Parameter], given: Mapping[str, object]) -> dict[str, object]:
    """Return every parameter with its value, defaults too; None where there is neither.

    Raises:
        QueryError: One is unknown, missing, or breaks its rule. Permanent.
    """
    names = [each.name for each in parameters]
    for name in given:
        if name not in names:
            allowed = f"the parameters are {', '.join(names)}" if names else "it takes none"
            raise QueryError(f"{ascii(name[:40])[1:-1]}: is not a parameter; {allowed}")
    values: dict[str, object] = {}
    for each in parameters:
        if each.name in given:
            values[each.name] = each.value_of(given[each.name])
        elif each.is_required:
            raise QueryError(f"{each.name}: is missing")
        else:
            values[each.name] = each.default
    return values
