"""Modules and functions stay small enough to be read at once."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
"""Without its docstring, which is the contract and may be as long as that takes."""

LARGE_MODULES: dict[str, str] = {}
"""Modules that may be larger, each with its reason."""
LARGE_FUNCTIONS: dict[str, str] = {}
"""Functions that may be longer, each with its reason."""


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and text of every module of ours."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split():
        if (ROOT / name).is_file():  # else it is removed, and not yet committed
            yield name, (ROOT / name).read_text()


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function has beside its docstring."""
    assert function.end_lineno is not None
    size = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return size
    return size - (first.end_lineno - first.lineno + 1)


def test_no_module_is_too_large() -> None:
    """A module has 400 lines at most; past that there is a seam to cut at."""
    large = {name for name, text in modules() if text.count("\n") > MAX_MODULE_LINES}

    assert large == set(LARGE_MODULES)


def test_no_function_is_too_long() -> None:
    """A function has 40 lines at most beside its docstring; past that it does more than one thing."""
    long = {
        f"{name}::{node.name}"
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if lines_of(node) > MAX_FUNCTION_LINES
    }

    assert long == set(LARGE_FUNCTIONS)
