"""What the docstrings promise about errors is what the classes say."""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from trailhouse import schemas
from trailhouse.schemas import errors
from trailhouse.schemas.errors import TrailhouseError

ROOT = Path(__file__).parents[3]
PACKAGES = {file.parent.name: file.parent for file in ROOT.glob("*/trailhouse/*/__init__.py")}
"""Each package of ours, and its folder."""
FOREIGN = {"KafkaException", "EngineError", "BadParameter", "BadPatternError", "CannotCheckError"}
"""Named on purpose: what is mapped one call above, what never leaves its room, and Typer's."""
_ENTRY = re.compile(r"^(?P<names>\w+(?:, \w+)*): (?P<text>.*)")
_WORDS = {"etriable": True, "ermanent": False}
_REFERS = re.compile(r"\bAs\b")


class Promise(NamedTuple):
    """One entry of a `Raises:`: the module it stands in, the classes and what is said of them."""

    module: str
    package: str
    place: str
    names: tuple[str, ...]
    text: str


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Yield each module's package, its name and what it holds."""
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            name = ".".join(file.relative_to(folder.parents[1]).with_suffix("").parts)
            yield package, name, ast.parse(file.read_text())


def public_docstrings(tree: ast.AST, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of every public class and function in *tree*."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name.startswith("_"):
            continue
        yield f"{place}{node.name}", ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            yield from public_docstrings(node, f"{place}{node.name}.")


def entries(docstring: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what stands under ``Raises:``: the classes and the text of each entry."""
    _, found, section = docstring.partition("Raises:\n")
    lines = section.split("\n\n")[0].splitlines() if found else []
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    joined: list[str] = []
    for line in lines:
        if len(line) - len(line.lstrip()) > indent:
            joined[-1] += " " + line.strip()
        else:
            joined.append(line.strip())
    for line in joined:
        entry = _ENTRY.match(line)
        assert entry is not None, line
        yield tuple(entry["names"].split(", ")), entry["text"]


@cache
def promises() -> list[Promise]:
    """Return each entry of each `Raises:` of ours."""
    return [
        Promise(module, package, place, names, text)
        for package, module, tree in modules()
        for place, docstring in public_docstrings(tree)
        for names, text in entries(docstring)
    ]


def ours(name: str) -> type[TrailhouseError] | None:
    """Return our class of this name, if it is one."""
    found = getattr(errors, name, None)
    return found if isinstance(found, type) and issubclass(found, TrailhouseError) else None


def promises_of(kind: type[TrailhouseError]) -> set[bool]:
    """Return what *kind* and those below it say of `retriable`."""
    below = kind.__subclasses__()
    return {kind.retriable} if not below else set().union(*(promises_of(each) for each in below))


def test_promises_are_found() -> None:
    """The list that the next tests go through is not empty by mistake."""
    assert len(promises()) > 100


def test_every_class_that_is_promised_is_there() -> None:
    """It stands in the tree, or is Python's, or one of a library's that is named on purpose."""
    unknown = [
        (promise.module, promise.place, name)
        for promise in promises()
        for name in promise.names
        if not (ours(name) or name in FOREIGN or hasattr(builtins, name))
    ]
    assert unknown == []


def untrue(promise: Promise) -> str | None:
    """Say what is wrong with *promise*: it must say of each class of ours what the class says."""
    kinds = [kind for name in promise.names if (kind := ours(name))]
    if not kinds or _REFERS.search(promise.text):
        return None
    allowed = set().union(*(promises_of(kind) for kind in kinds))
    said = {outcome for word, outcome in _WORDS.items() if word in promise.text}
    if not said:
        return "says neither retriable nor permanent"
    return None if said <= allowed else "says what the class does not"


def test_a_promise_says_whether_a_retry_helps() -> None:
    """Retriable or permanent is said of each class of ours as the class itself says it."""
    found = [
        (each.module, each.place, each.names, fault)
        for each in promises()
        if (fault := untrue(each))
    ]
    assert found == []


def test_a_promise_that_is_untrue_is_found() -> None:
    """The rule bites: a wrong word, and none."""
    wrong = Promise("m", "p", "f", ("SpoolFullError",), "It is full. Permanent.")
    assert untrue(wrong) == "says what the class does not"
    assert untrue(wrong._replace(text="It is full.")) == "says neither retriable nor permanent"
    assert untrue(wrong._replace(text="It is full. Retriable.")) is None
    assert untrue(wrong._replace(text="As `log`.")) is None


def test_who_may_meet_an_error_can_import_it_from_there() -> None:
    """A package that exports anything exports each class that its public docstrings name."""
    for package in PACKAGES:
        named = {name for each in promises() if each.package == package for name in each.names}
        exported = set(importlib.import_module(f"trailhouse.{package}").__all__)
        assert not exported or {name for name in named if ours(name)} <= exported


def test_every_class_of_ours_is_in_the_tree() -> None:
    """Whoever catches by the tree misses none; others stay within the local ClickHouse, redaction and the doors."""
    defined = {
        (module, node.name)
        for _, module, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and node.name.endswith(("Error", "Exception"))
        and not node.name.startswith("_")
    }
    drawn = {name for module, name in defined if module == errors.__name__}
    assert {name for module, name in defined if module != errors.__name__} == {
        "BadPatternError",
        "CannotCheckError",
        "EngineError",
        "NothingFoundError",
        "ProblemError",
        "TooManySealsError",
        "TooManySecretsError",
    }
    assert drawn <= set(schemas.__all__)
