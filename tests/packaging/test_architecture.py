"""docs/architecture.md, held against the code: each walk goes down, and names what is there."""

import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grimp
import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = (
    "cli",
    "api",
    "mcp",
    "operate",
    "devstack",
    "access",
    "consumer",
    "query",
    "store",
    "broker",
    "capture",
    "producer",
    "redaction",
    "proof",
    "anchoring",
    "attesting",
    "schemas",
)
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][
    0
]
HEIGHTS = {
    room.strip().removeprefix("trailhouse."): height
    for height, tier in enumerate(reversed(LAYERS["layers"]))
    for room in tier.split("|")
} | {"redaction": 1, "producer": 2, "capture": 3}
"""Of import-linter's layers, counted from the ground; the producer knows nothing but redaction and the schemas."""


class Step(NamedTuple):
    """One line of a walk: a file, and the one that calls it, if any."""

    path: str
    caller: str | None
    says: str

    @property
    def module(self) -> str:
        return _module(self.path)


def _module(path: str) -> str:
    return "trailhouse." + path.removesuffix(".py").replace("/", ".")


def _steps(walk: str) -> Iterator[Step]:
    callers: list[tuple[int, str]] = []
    for line in walk.splitlines():
        path, _, says = line.strip().partition(" ")
        indent = len(line) - len(line.lstrip())
        while callers and callers[-1][0] >= indent:
            callers.pop()
        yield Step(path, callers[-1][1] if callers else None, says.strip())
        callers.append((indent, path))


WALKS = [list(_steps(walk)) for walk in re.findall(r"```walk\n(.*?)```", TEXT, re.DOTALL)]
walks = pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk[0].path)


@functools.cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph(*(f"trailhouse.{room}" for room in ROOMS))


def _knows(caller: str, callee: str) -> bool:
    """Tell whether *caller* imports *callee*, by itself or by the names that a package exports."""
    imported = _imports().find_modules_directly_imported_by(caller)
    exported = [
        name
        for package in imported
        if callee.startswith(f"{package}.")
        for name in _imports().find_modules_directly_imported_by(package)
    ]
    return callee in {*imported, *exported}


def _file(path: str) -> Path:
    return next(ROOT.glob(f"*/trailhouse/{path}"), ROOT / path)


def test_the_three_walks_are_there() -> None:
    """An event, a bad record and a setting each have their walk."""
    headings = re.findall(r"^### The way of an? (.+)$", TEXT, re.MULTILINE)

    assert headings == ["event", "bad record", "setting"]
    assert [len(walk) > 1 for walk in WALKS] == [True] * len(WALKS)
    assert len(WALKS) == TEXT.count("```walk") >= len(headings)


@walks
def test_each_step_is_a_file_that_has_what_is_said_of_it(walk: list[Step]) -> None:
    """Every file of a walk exists, and names in it what the walk names in backquotes."""
    for step in walk:
        assert _file(step.path).is_file(), step.path
        code = _file(step.path).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)(?:\(\))?`", step.says):
            assert re.search(rf"\b{name}\b", code), f"{step.path} has no {name}"


@walks
def test_a_walk_climbs_back_nowhere(walk: list[Step]) -> None:
    """Each step is imported by its caller, knows no caller above it, and stands in no higher layer."""
    called_by = {step.path: step.caller for step in walk}
    for step in walk:
        if step.caller is None:
            continue
        assert _knows(_module(step.caller), step.module), f"{step.caller} knows no {step.path}"
        assert _height(step.path) <= _height(step.caller), f"{step.caller} → {step.path} climbs"
        above: str | None = step.caller
        while above is not None:
            assert not _imports().chain_exists(step.module, _module(above)), (
                f"{step.path} knows {above}"
            )
            above = called_by[above]


@walks
def test_a_walk_passes_no_file_twice(walk: list[Step]) -> None:
    """A file that was left is not come back to."""
    paths = [step.path for step in walk]
    assert sorted(set(paths)) == sorted(paths)
    assert [step.path for step in walk if step.caller is None] == paths[:1]


def _height(path: str) -> int:
    return HEIGHTS[path.partition("/")[0]]


def test_every_room_is_in_the_picture() -> None:
    """Each package of the code is named in the table of rooms, with the first line of its docstring."""
    packages = {
        str(file.parent.relative_to(ROOT)) for file in ROOT.glob("*/trailhouse/**/__init__.py")
    }
    named = set(re.findall(r"^\| `([\w/]+)/` \| \S", TEXT, re.MULTILINE))

    assert named == packages


def test_every_room_stands_in_a_layer() -> None:
    """A new package of ours is given its place among the others."""
    packages = {file.parent.name for file in ROOT.glob("*/trailhouse/*/__init__.py")}

    assert packages == HEIGHTS.keys()
    assert packages == set(ROOMS)
