"""The plain form of what others' libraries make."""

import dataclasses
import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.errors import InvalidEventError


@dataclasses.dataclass
class Step:
    name: str
    parts: list["Step"] = dataclasses.field(default_factory=list)


@attrs.define
class Tool:
    name: str
    schema: dict[str, Any]


class Answer(msgspec.Struct):
    text: str
    score: float


class Order(pydantic.BaseModel):
    sku: str
    placed_at: dt.datetime
    token: pydantic.SecretStr | None = None


class Unreadable(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("secret")


class Broken(pydantic.BaseModel):
    @pydantic.model_serializer
    def fail(self) -> dict[str, Any]:
        raise RuntimeError("secret")


PLACED_AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Step("a", [Step("b")]), {"name": "a", "parts": [{"name": "b", "parts": []}]}),
        (Tool("search", {"q": (1, 2)}), {"name": "search", "schema": {"q": [1, 2]}}),
        (Answer("yes", 0.5), {"text": "yes", "score": 0.5}),
        (
            Order(sku="x", placed_at=PLACED_AT),
            {"sku": "x", "placed_at": "2026-01-02T00:00:00.000000Z", "token": None},
        ),
        (b"\x00\xff", {"$bytes": "AP8="}),
        (bytearray(b"hi"), {"$bytes": "aGk="}),
        (memoryview(b"hi"), {"$bytes": "aGk="}),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({(2, 1), (1, 3)}), [[1, 3], [2, 1]]),
        (PurePosixPath("a/b"), "a/b"),
        (Path("a"), "a"),
        (ValueError("not that"), {"type": "ValueError", "message": "not that"}),
        (OSError("\udc80"), {"type": "OSError", "message": "\\udc80"}),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
    ],
)
def test_what_libraries_make_has_one_plain_form(value: object, plain: object) -> None:
    """A value of a common library is written as its fields, its text or its number, and reads back so."""
    event = AuditEvent(type="t", session_id="s", data={"value": value})

    assert json.loads(event.record)["data"]["value"] == plain
    assert decode(event.record) == event


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (np.datetime64("2026-01-01"), "got datetime64"),
        (np.timedelta64(1, "s"), "got timedelta64"),
        (np.longdouble(1), "got longdouble"),
        (np.array([1]), "got ndarray"),
        (1j, "got complex"),
        (Step, "got type"),
        (Order(sku="x", placed_at=PLACED_AT, token=pydantic.SecretStr("hunter2")), "got SecretStr"),
        (Unreadable(), "cannot be read: Unreadable raised"),
        (Broken(), "cannot be read: Broken raised"),
        ({Step: 1}, "keys must be strings, got type"),
        ({"\udc80"}, "lone surrogate"),
    ],
)
def test_what_would_be_bent_is_refused(value: object, rule: str) -> None:
    """What has no exact form, or raises when it is read, is refused by path and rule, never shown."""
    with pytest.raises(InvalidEventError) as caught:
        AuditEvent(type="t", session_id="s", data={"value": value})

    assert rule in caught.value.rule
    assert "secret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_nothing_foreign_is_imported_for_it() -> None:
    """Knowing these libraries costs no import of any: the producer stays light."""
    import subprocess
    import sys

    code = (
        "import sys, trailhouse.producer;"
        "print(sorted({'pydantic', 'attr', 'attrs', 'numpy'} & set(sys.modules)))"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    ).stdout
    assert seen == "[]\n"


def test_an_object_that_holds_itself_is_refused() -> None:
    """Objects that lead back to themselves are refused where they come again."""
    step = Step("a")
    step.parts.append(step)

    with pytest.raises(InvalidEventError, match=r"step\.parts\[0\]: must not contain itself"):
        AuditEvent(type="t", session_id="s", data={"step": step})
