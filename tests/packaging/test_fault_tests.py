"""The names of ours that tests hold as text: no type checker sees them, and fault tests run seldom."""

import ast
import atexit
import functools
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import faulty_programs
import mechanisms
import weakened_producer
import weakened_worker

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
FOLDERS = ("tests", "benchmarks", "docs")
_PLACE = re.compile(r"trailhouse(?:\.\w+)+:\w+(?:\.\w+)*")
_IMPORT = re.compile(r"^\s*(?:from|import) trailhouse\b", re.MULTILINE)


@functools.cache
def texts() -> list[str]:
    """Return every text that names ours in the code of the tests, the benchmarks and the documents' generator."""
    return [
        node.value
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "trailhouse." in node.value
    ]


def imported(program: str) -> Iterator[tuple[str, str]]:
    """Return each public name of ours that *program* imports, with its module; private ones are forbidden."""
    for line in program.replace(";", "\n").splitlines():
        try:
            statements = ast.parse(line.strip()).body
        except SyntaxError:  # a line of text, or one that goes on in the next
            continue
        for statement in statements:
            if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith(
                "trailhouse"
            ):
                names = [each.name for each in statement.names if not each.name.startswith("_")]
                yield from ((str(statement.module), name) for name in names)


def found(place: str) -> object:
    """Return what *place* names.

    Raises:
        ImportError, AttributeError: There is none.
    """
    kept: list[object] = []

    def keep(original: Any) -> Any:
        kept.append(original)
        return original

    faulty_programs.replace(place, keep)
    return kept[0]


def test_each_place_that_a_fault_test_breaks_is_there() -> None:
    """A failpoint that names nothing would fail its test for no fault of the worker's."""
    places = {text for text in texts() if _PLACE.fullmatch(text)}
    assert len(places) > 20
    for place in sorted(places):
        found(place)


def test_each_name_that_a_program_in_a_text_imports_is_there() -> None:
    """Programs that tests start are texts, and name what they import as modules do."""
    names = {name for text in texts() if _IMPORT.search(text) for name in imported(text)}
    assert len(names) > 10
    for module, name in sorted(names):
        owner = importlib.import_module(module)
        if not hasattr(owner, name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("name", mechanisms.MECHANISMS)
def test_a_mechanism_can_be_switched_off(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each patch finds what it patches: a program that dies of its patch is red, and proves nothing."""
    patched: list[str] = []

    def look(place: str, make: Callable[[Any], Any]) -> None:
        make(found(place))
        patched.append(place)

    for module in (mechanisms, weakened_worker, weakened_producer):
        monkeypatch.setattr(module, "replace", look)
    monkeypatch.setattr(atexit, "unregister", lambda function: patched.append(function.__name__))
    mechanism = mechanisms.MECHANISMS[name]
    mechanism.patch()
    in_the_database = {"final_view", "first_write_wins", "hash_in_key", "coordinates_out_of_key"}
    assert bool(patched) != (bool(mechanism.settings) or name in in_the_database)


def test_each_mechanism_has_its_fault_tests() -> None:
    """Every selection of `make faults-red` selects a test: none would end the run without having looked."""
    files = [file.read_text() for file in (ROOT / "tests/faults").glob("test_*.py")]
    for mechanism in mechanisms.MECHANISMS.values():
        for selection in mechanism.faults:
            fault, *cases = selection.split(" and ")
            assert any(
                re.search(rf"^def test_{fault}", text, re.MULTILINE)
                and all(case in text for case in cases)
                for text in files
            ), selection
