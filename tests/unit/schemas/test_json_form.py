"""The plain form of what others' libraries make."""

import dataclasses
import datetime as dt
import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
import msgspec
import numpy as np
import pydantic
import pytest

from trailhouse.producer import ProducerConfig
from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.errors import InvalidEventError
from trailhouse.schemas.fast import is_json_form
from trailhouse.schemas.json_form import MAX_VALUES


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


def fail(_: object) -> Any:
    raise RuntimeError("secret")


class Number(int):
    def __int__(self) -> int:
        raise RuntimeError("secret")


class Fraction(float):
    def __float__(self) -> float:
        raise RuntimeError("secret")


class Digits(Decimal):
    def __str__(self) -> str:
        raise RuntimeError("secret")


class Zone(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("secret")

    dst = utcoffset

    def tzname(self, moment: dt.datetime | None) -> str:
        return "zone"


class Pairs(Mapping[str, int]):
    """Has items that are no pairs."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def items(self) -> Any:
        return [1]


HOSTILE: dict[str, Callable[[], object]] = {
    "ClassRaises": type("ClassRaises", (), {"__class__": property(fail)}),
    "LiesAboutItsClass": type("LiesAboutItsClass", (), {"__class__": property(lambda _: str)}),
    "Number": lambda: Number(3),
    "Fraction": lambda: Fraction(3),
    "Digits": lambda: Digits(3),
    "datetime": lambda: dt.datetime(2026, 1, 1, tzinfo=Zone()),
    "Pairs": Pairs,
    "Nameless": type("NameRaises", (type,), {"__name__": property(fail)})("Nameless", (), {}),
}
"""By the name of their type: how to make one. Made late, since pytest looks at its parameters."""


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    ("field", "fields_of"),
    [
        ("data.a[0]", lambda value: {"data": {"a": [value]}}),
        ("metadata.a", lambda value: {"metadata": {"a": value}}),
        ("session_id", lambda value: {"session_id": value}),
        ("run_id", lambda value: {"run_id": value}),
        ("event_id", lambda value: {"event_id": value}),
        ("occurred_at", lambda value: {"occurred_at": value}),
        ("actor", lambda value: {"actor": value}),
        ("actor", lambda value: {"actor": {"id": value, "type": "user"}}),
        ("type", lambda value: {"type": value}),
    ],
)
def test_what_a_foreign_class_raises_is_our_error(
    kind: str, field: str, fields_of: Callable[[object], dict[str, Any]]
) -> None:
    """Whatever a value's own code raises, the event is refused by path and type, and what it said is not shown."""
    fields: dict[str, Any] = {"type": "t", "session_id": "s"}
    with pytest.raises(InvalidEventError) as caught:
        AuditEvent(**(fields | fields_of(HOSTILE[kind]())))

    assert caught.value.field == field
    if field.startswith(("data", "metadata")):
        assert kind in caught.value.rule
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_not_taken_for_a_refusal(kind: type[BaseException]) -> None:
    """An interrupt that arrives while foreign code runs goes through, as it must."""

    class Interrupted(int):
        def __int__(self) -> int:
            raise kind

    with pytest.raises(kind):
        AuditEvent(type="t", session_id="s", data={"a": Interrupted(1)})


class Text(str):
    """Text of a class of its own, as many libraries have."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("secret")

    def __len__(self) -> int:
        raise RuntimeError("secret")


def test_text_of_a_class_of_its_own_is_text() -> None:
    """A string of any class is written as the text that it is, as an id, a type and a value."""
    event = AuditEvent(
        type=Text("t"), session_id=Text("s"), run_id=np.str_("r"), data={Text("k"): Text("v")}
    )

    assert (event.type, event.session_id, event.run_id) == ("t", "s", "r")
    assert event.data == {"k": "v"}
    assert decode(event.record) == event


def shared(levels: int) -> list[Any]:
    graph: list[Any] = []
    for _ in range(levels):
        graph = [graph, graph]
    return graph


@pytest.mark.parametrize(
    "graph", [shared(30), {"deep": shared(60)}, [[["x"] * 2_000] * 2_000] * 2_000, {"a", "b"}]
)
def test_what_is_small_in_memory_and_endless_in_json_is_refused(
    graph: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are counted as often as they are reached; over the limit an event is refused, by its key."""
    monkeypatch.setattr("trailhouse.schemas.json_form.MAX_VALUES", 1_000)
    if isinstance(graph, set):
        graph = [graph] * 1_000  # sets are counted, too
    with pytest.raises(InvalidEventError) as caught:
        AuditEvent(type="t", session_id="s", data={"good": 1, "graph": graph})

    assert str(caught.value) == "data.graph: must not hold more than 1,000 values"


def test_the_limit_of_values_leaves_room_for_every_event_of_the_default_size() -> None:
    """So many values as there may be take more bytes in JSON than an event may have by default."""
    assert len(b"0,") * MAX_VALUES > ProducerConfig().max_event_bytes


def test_the_short_way_ends_at_the_limit_of_values_too() -> None:
    """What most events take, without a copy, counts as well, and leaves what is too large to the long way."""
    assert is_json_form({"a": [[0] * 1_000] * 998})
    assert not is_json_form({"a": [[0] * 1_000] * 1_000})
    assert not is_json_form({"a": shared(30)})
