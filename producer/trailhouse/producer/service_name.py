"""The default name of the emitting service: what the program is, and not what it was started with.

==========================================  ============================================================
started as                                  named
==========================================  ============================================================
anything, with ``OTEL_SERVICE_NAME`` set    its value
``python -m billing.invoices``              ``billing.invoices``; ``billing`` for ``billing.__main__``
``gunicorn shop.wsgi:app``, uvicorn …       ``shop.wsgi``: the module that is served
``celery -A shop.tasks worker``, flask …    ``shop.tasks``: the module that is run
``python /srv/billing/invoices.py``         ``invoices``, and so for a console script
``python /srv/billing/main.py``             ``billing``: a name like `main` says nothing, its folder does
``python -c …``, a notebook, none of these  the current folder
==========================================  ============================================================
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTEL_VARIABLE = "OTEL_SERVICE_NAME"
LAUNCHERS = frozenset({
    "arq", "celery", "daphne", "dramatiq", "fastapi", "faust", "flask", "granian", "gunicorn", "hypercorn", "huey",
    "locust", "rq", "streamlit", "taskiq", "uvicorn", "uwsgi",
})  # fmt: skip
"""Programs that run another, which their arguments name: their own name says nothing of the service."""
WORKSHOPS = frozenset({"ipykernel_launcher", "ipython", "jupyter", "py.test", "pytest"})
"""Programs in which somebody works on something in the current folder."""
GENERIC_MODULES = frozenset({
    "__main__", "app", "application", "asgi", "main", "manage", "run", "server", "start", "wsgi",
})  # fmt: skip
GENERIC_FOLDERS = frozenset(
    {"", "app", "bin", "code", "home", "opt", "root", "src", "tmp", "usr", "work", "workspace"}
)
CONFIG_OPTIONS = frozenset({"-c", "--config"})
UNKNOWN = "python"

_is_module = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*").fullmatch
# An address such as localhost:8000 or unix:run.sock is no application.
_is_application = re.compile(r"(?!unix:|fd:)([A-Za-z_][\w.]*):[A-Za-z_]\w*(\(.*\))?").fullmatch
_is_python = re.compile(r"(python|pypy)[\d.]*w?").fullmatch


def default_service() -> str:
    """Return the name of this process's program."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    try:
        folder = Path.cwd()
    except OSError:  # it was removed
        folder = Path("/")
    name = name_of(sys.argv, spec.name if spec is not None else "", folder, os.environ)
    # A file's name may be no Unicode, which no event can hold.
    return name.encode(errors="backslashreplace").decode()


def name_of(
    arguments: Sequence[str], module: str, folder: Path, environment: Mapping[str, str]
) -> str:
    """Return the name of a program with these *arguments*, run in *folder*; *module* if by ``-m``."""
    if told := environment.get(OTEL_VARIABLE, "").strip():
        return told
    program, *rest = arguments or [""]
    # `python FOLDER` and a zip file have a module of this name alone, and stand in the arguments.
    module = "" if module == "__main__" else module.removesuffix(".__main__")
    started = module.partition(".")[0] if module else _stem(program)
    if started in LAUNCHERS:
        return _launched(rest, folder)
    if started in WORKSHOPS:
        return _name_of_folder(folder, UNKNOWN)
    if module:
        return module
    if program in ("", "-", "-c", "-m") or _is_python(started):
        return _name_of_folder(folder, UNKNOWN)
    return _name_of_file(folder / program)


def _launched(arguments: Sequence[str], folder: Path) -> str:
    """Return what a launcher runs: its application, module or file, else the folder."""
    found = _application(arguments)
    if found.endswith(".py"):
        return _name_of_file(folder / found)
    module = found.partition(":")[0]
    if not module or module in GENERIC_MODULES:
        return _name_of_folder(folder, module or UNKNOWN)
    return module


def _application(arguments: Sequence[str]) -> str:
    for number, argument in enumerate(arguments):
        if argument in ("-A", "--app") and number + 1 < len(arguments):
            return arguments[number + 1]
        for option in ("-A", "--app="):
            if argument.startswith(option) and argument != option:
                return argument.removeprefix(option)
    # `gunicorn -c gunicorn.conf.py shop.wsgi` serves the second; `uvicorn --reload shop.wsgi:app` has a flag.
    free, values = [], []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not before.startswith("-") or "=" in before:
            free.append(argument)
        elif before not in CONFIG_OPTIONS:
            values.append(argument)
    ends = [each for each in (*arguments[:1], *arguments[-1:]) if each in free]
    candidates = (
        *filter(_is_application, free),
        *filter(_is_file, free),
        *(each for each in ends if _is_module(each) and "." in each),  # `gunicorn -w 4 shop.wsgi`
        *filter(_is_application, values),
        *filter(_is_file, values),
    )
    return candidates[0] if candidates else ""


def _is_file(argument: str) -> bool:
    return argument.endswith(".py")


def _stem(program: str) -> str:
    name = Path(program).name
    if name == "__main__.py":
        name = Path(program).parent.name
    for suffix in (".py", ".pyz", ".pyc", ".exe"):
        name = name.removesuffix(suffix)
    return name


def _name_of_file(path: Path) -> str:
    stem = _stem(str(path))
    return _name_of_folder(path.parent, stem) if stem in GENERIC_MODULES else stem


def _name_of_folder(folder: Path, otherwise: str) -> str:
    return otherwise if folder.name in GENERIC_FOLDERS else folder.name
