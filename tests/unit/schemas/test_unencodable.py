"""Events out of others' hands: marked where a value breaks a rule, and never lost for it."""

import dataclasses
import datetime as dt
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse.schemas import AuditEvent, decode
from trailhouse.schemas.unencodable import marked

VALID: dict[str, Any] = {
    "type": "run_started",
    "session_id": "s",
    "run_id": "r",
    "data": {"a": [1, {"b": "c"}]},
    "metadata": {"m": 1},
    "occurred_at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
}
NAIVE = dt.datetime(2026, 1, 2)  # noqa: DTZ001 - naive on purpose


class Foreign:
    def __repr__(self) -> str:
        return "secret"


def event_of(**fields: Any) -> AuditEvent:
    return AuditEvent(**marked({"type": "t", "session_id": "s"} | fields))


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (Foreign(), "[UNENCODABLE:Foreign]"),
        (float("nan"), "[UNENCODABLE:nan]"),
        (Decimal("-Infinity"), "[UNENCODABLE:-Infinity]"),
        (NAIVE, "[UNENCODABLE:datetime 2026-01-02T00:00:00]"),
        pytest.param(10**5000, "[UNENCODABLE:int of 16610 bits]", id="large int"),
        ("a\udc80b", "a\\udc80b"),
        (dt.timedelta(1), "[UNENCODABLE:timedelta]"),
    ],
)
def test_a_marker_names_the_type(value: object, mark: str) -> None:
    """What cannot be written becomes a marker in its place, beside everything else, and is counted."""
    event = event_of(data={"good": 1, "bad": [value]}, metadata={"mine": True})

    assert event.data == {"good": 1, "bad": [mark]}
    assert event.metadata == {"mine": True, "_replaced": 1}
    assert b"secret" not in event.record


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"run_id": 7}, {"run_id": "7"}),
        ({"run_id": Foreign()}, {"run_id": "[UNENCODABLE:Foreign]"}),
        ({"session_id": 7}, {"session_id": "7"}),
        ({"agent_id": "a\udc80"}, {"agent_id": "a\\udc80"}),
        ({"type": "Odd Type!"}, {"type": "unknown_event"}),
        ({"type": None}, {"type": "unknown_event"}),
        ({"actor": {"type": "user"}}, {"actor": None}),
        ({"data": [1, 2]}, {"data": {"value": [1, 2]}}),
        ({"data": {1: "one"}}, {"data": {"1": "one"}}),
        ({"metadata": "text"}, {}),
        ({"occurred_at": NAIVE}, {}),
        ({"event_id": "no id"}, {}),
    ],
)
def test_a_field_that_breaks_a_rule_does_not_lose_the_event(
    fields: dict[str, Any], kept: dict[str, Any]
) -> None:
    """An id, type, time or object of the wrong kind is replaced by what comes nearest, and counted."""
    event = event_of(**fields)

    assert event.metadata["_replaced"] == 1
    assert {name: getattr(event, name) for name in kept} == kept


@dataclass
class Node:
    """A part of a tree that knows its parent."""

    name: str
    parent: "Node | None" = None
    children: "list[Node]" = dataclasses.field(default_factory=list)


def test_a_tree_whose_nodes_know_their_parent_is_walked_once() -> None:
    """What contains itself is marked where it comes again: there are 2 ** 100 ways down to level 100."""
    root = Node("root")
    root.children = [Node("a", root), Node("b", root)]

    event = event_of(data={"tree": root})

    mark = "[UNENCODABLE:Node that contains itself]"
    assert event.data["tree"] == {
        "name": "root",
        "parent": None,
        "children": [{"name": name, "parent": mark, "children": []} for name in "ab"],
    }
    assert event.metadata == {"_replaced": 2}


def test_what_stands_twice_but_not_in_itself_is_written_twice() -> None:
    """One object in two places is no circle."""
    node = Node("leaf")

    assert event_of(data={"a": node, "b": [node, node]}).metadata == {}


def test_an_id_that_is_too_long_keeps_a_digest_of_the_whole() -> None:
    """Two long ids that begin alike stay apart, and the same one stays the same."""
    first, again, other = (event_of(run_id="r" * 300 + end).run_id for end in ("a", "a", "b"))

    assert first == again != other
    assert first is not None
    assert len(first) == 256


def test_a_uuid_is_an_id_like_any_other() -> None:
    """A UUID as an id is its text, as everywhere, and is not counted."""
    given_id = uuid.uuid4()

    assert event_of(run_id=given_id).run_id == str(given_id)
    assert event_of(run_id=given_id).metadata == {}


def test_a_valid_event_is_left_as_it_is() -> None:
    """Marking changes nothing of what breaks no rule: the bytes are the same."""
    fields: dict[str, Any] = VALID | {"event_id": "01a20f48-5f11-7884-a5c7-5ee1663b3800"}

    assert AuditEvent(**marked(fields)).record == AuditEvent(**fields).record


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=3)
    | st.datetimes()
    | st.decimals()
    | st.builds(Foreign)
    | st.builds(ValueError, st.text()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


@given(
    data=ANYTHING, metadata=ANYTHING, ids=st.lists(ANYTHING, min_size=8, max_size=8), kind=ANYTHING
)
def test_whatever_is_given_becomes_a_valid_event(
    data: object, metadata: object, ids: list[object], kind: object
) -> None:
    """With a session that is text, no value of any field can keep an event out of the log."""
    names = (
        "run_id",
        "tenant_id",
        "parent_run_id",
        "agent_id",
        "actor",
        "occurred_at",
        "event_id",
        "trace_id",
    )
    fields = {"type": kind, "session_id": "s", "data": data, "metadata": metadata}

    event = AuditEvent(**marked(fields | dict(zip(names, ids, strict=True))))

    assert decode(event.record) == event
    json.loads(event.record)


def test_a_graph_without_end_is_marked_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds more values than may be is one marker, and what stands beside it is kept."""
    monkeypatch.setattr("trailhouse.schemas.json_form.MAX_VALUES", 1_000)
    graph: list[Any] = []
    for _ in range(30):
        graph = [graph, graph]

    event = event_of(data={"good": [1], "graph": graph})

    assert event.data == {"good": [1], "graph": "[UNENCODABLE:list of too many values]"}
    assert event.metadata == {"_replaced": 1}


def fail(_: object) -> type:
    raise RuntimeError("secret")


@pytest.mark.parametrize("kind", [None, str, int, uuid.UUID, dict, dt.datetime, Exception], ids=str)
@pytest.mark.parametrize(
    "field", ["type", "run_id", "event_id", "occurred_at", "actor", "data", "metadata"]
)
def test_a_class_that_raises_or_lies_loses_no_event(kind: type | None, field: str) -> None:
    """Whatever a foreign value says of its class, the event that holds it is kept, and counts it."""
    claim = property(fail if kind is None else lambda _: kind)
    odd = type("Odd", (), {"__class__": claim})()

    event = event_of(**{field: odd})

    assert event.metadata["_replaced"] >= 1
    assert b"secret" not in event.record
