"""Tests speak to public names. Where a fault can only be made within a private step, it is listed here."""

import ast
import atexit
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mechanisms
import weakened_producer
import weakened_worker

ROOT = Path(__file__).parents[2]
STEPS = {
    "trailhouse.consumer.batch.writer:BatchWriter._quarantine": "a batch's bad records, before its events",
    "trailhouse.consumer.batch.writer:BatchWriter._write_events": "the halving of a refused batch",
    "trailhouse.consumer.host.process:WorkerProcess._on_sigterm": "what a signal begins",
    "trailhouse.consumer.host.process:_cut_off_after": "the end of a drain that takes too long",
    "trailhouse.consumer.membership.lag_monitor:LagMonitor._note_stalls": "one of three looks in a turn",
    "trailhouse.consumer.membership.session:GroupSession._fill": "a turn's reading",
    "trailhouse.consumer.membership.session:GroupSession._launch": "between reading and storing",
    "trailhouse.consumer.membership.session:GroupSession._on_lost": "what Kafka's callback begins",
    "trailhouse.consumer.membership.session:GroupSession._on_revoked": "what Kafka's callback begins",
    "trailhouse.consumer.membership.session:GroupSession._settle": "between storing and committing",
    "trailhouse.producer.spool.frame:_frame": "the checksum, beside what else is read of a frame",
    "trailhouse.store.clickhouse:_connect": "the client library's own timeout",
    "trailhouse.store.errors:_refusal": "one answer of ClickHouse, before it is raised",
}
"""Private steps that a fault is made in, each with what it is that no public name stands for."""
TOLD_APART = {"_replace", "_asdict", "_fields", "_make"}
"""A named tuple's own methods, which are public."""
OF_OTHERS = {"os", "sys", "KafkaError", "Consumer"}
"""Whose private names are not ours to change: each use says by its comment why there is no other."""
IN_PATCHES = {"_arrivals", "_pass_by"}
"""What a patch of `weakened_producer` asks of the object whose method it stands for."""


def files_of_tests() -> list[Path]:
    """Return each file of the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "tests/*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).is_file()]


def is_private(name: str) -> bool:
    """Tell whether *name* is one that its owner keeps to itself."""
    return name.startswith("_") and not name.startswith("__") and name not in TOLD_APART


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each private name that is asked for on something else than `self`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                continue
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in OF_OTHERS:
                continue
            case ast.Attribute(attr=name) if is_private(name):
                yield node.lineno, name
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("trailhouse"):
                yield from ((node.lineno, each.name) for each in names if is_private(each.name))
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "delattr" | "hasattr")
                | ast.Attribute(attr="setattr" | "delattr" | "object"),
                args=[_, ast.Constant(value=str(name)), *_],
            ) if is_private(name):
                yield node.lineno, name
            case _:
                pass


def places(tree: ast.AST) -> Iterator[str]:
    """Yield each ``module:name`` of ours that is written out in *tree*."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if re.fullmatch(r"trailhouse[\w.]*:[\w.]*\w", text):
                yield text
            case _:
                pass


def test_no_test_uses_a_private_name() -> None:
    """Neither as an attribute, nor by a string, nor by an import; a private step by its list alone."""
    found = [
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in files_of_tests()
        for line, name in uses(ast.parse(file.read_text(encoding="utf-8")))
        if not (file.name == "weakened_producer.py" and name in IN_PATCHES)
    ]
    assert found == []


def test_a_use_is_seen() -> None:
    """Whatever its form."""
    text = """
from trailhouse.store import _inner
thing._step()
getattr(thing, "_step")
monkeypatch.setattr(thing, "_step", 1)
self._mine
row._replace(a=1)
os._exit(0)
"""
    assert sorted(line for line, _ in uses(ast.parse(text))) == [2, 3, 4, 5]


def test_every_place_that_a_fault_is_made_at_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patch of what is gone, or is called otherwise now, would break nothing; each private one is listed."""
    named = {
        place
        for file in files_of_tests()
        if file.name != Path(__file__).name
        for place in places(ast.parse(file.read_text(encoding="utf-8")))
    }

    def replace(place: str, make: Any) -> None:
        named.add(place)
        make(resolved(place))

    for module in (mechanisms, weakened_worker, weakened_producer):
        monkeypatch.setattr(module, "replace", replace)
    monkeypatch.setattr(atexit, "unregister", lambda _: None)
    for mechanism in mechanisms.MECHANISMS.values():
        mechanism.patch()
    for place in named:
        resolved(place)
    private = {place for place in named if re.search(r"[:.]_", place)}
    assert private == set(STEPS)


def test_what_a_patch_asks_for_is_there() -> None:
    """A private name that a patch uses of the object that it stands in is one of our code."""
    asked = {
        node.attr
        for module in (weakened_worker, weakened_producer)
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and is_private(node.attr)
    } - {"_exit"}
    ours = {
        name
        for room in ("producer", "consumer", "schemas")
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in [getattr(node, "attr", None) or getattr(node, "name", None)]
        if isinstance(name, str)
    }
    assert asked - ours == set()


def resolved(place: str) -> Any:
    """Return what *place* names.

    Raises:
        AttributeError, ModuleNotFoundError: It is not there.
    """
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    for part in path.split("."):
        owner = getattr(owner, part)
    return owner
