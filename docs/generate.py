"""Write what is made from the code: the documents' tables and the JSON Schema. Run by `make docs`."""

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

from trailhouse.api import openapi
from trailhouse.capture.doctor.frameworks import KNOWN
from trailhouse.capture.installation import FRAMEWORKS
from trailhouse.cli import reference
from trailhouse.consumer.monitoring import metrics
from trailhouse.redaction.shapes import SHAPES_BY_KIND
from trailhouse.schemas import errors, event_data, json_schema

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "schemas" / "trailhouse" / "schemas" / json_schema.FILE_NAME


def made() -> dict[Path, dict[str, str]]:
    """Return what is made from the code: for each document its generated parts by name."""
    return {
        ROOT / "README.md": {
            "commands": reference.render(),
            "settings": reference.render_settings(),
        },
        ROOT / "docs" / "api.md": {"operations": openapi.render()},
        ROOT / "docs" / "architecture.md": {"rooms": rooms(), "layers": layers()},
        ROOT / "docs" / "capture.md": {"versions": framework_versions()},
        ROOT / "docs" / "cluster.md": {"metrics": metrics.render()},
        ROOT / "docs" / "errors.md": {"tree": error_tree()},
        ROOT / "docs" / "events.md": {"keys of data": event_data.render()},
        ROOT / "docs" / "redaction.md": {"vendors": vendors()},
        ROOT / "docs" / "threats.md": {"threats": threats()},
    }


def threats() -> str:
    """Return the table of threats, which the attacks of the tests are the list of."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from threat_table import render

    return render()


def rooms() -> str:
    """Return a table of the packages, each with the first line of its own docstring."""
    rows = ["| Room | What it is for |", "|---|---|"]
    for root in ("schemas", "producer", "consumer"):
        for file in sorted((ROOT / root / "trailhouse").rglob("__init__.py")):
            says = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            rows.append(f"| `{file.parent.relative_to(ROOT)}/` | {says.partition(chr(10))[0]} |")
    return "\n".join(rows) + "\n"


def vendors() -> str:
    """Return a table of the vendors whose secrets redaction knows by their form, by kind."""
    rows = ["| Kind | Entries | Vendors |", "|---|---|---|"]
    for kind, shapes in SHAPES_BY_KIND.items():
        names = {name for shape in shapes for name in re.split(r", | and ", shape.vendor)}
        rows.append(f"| {kind} | {len(shapes)} | {', '.join(sorted(names, key=str.lower))} |")
    return "\n".join(rows) + "\n"


def layers() -> str:
    """Return import-linter's contracts: a picture for each that orders rooms, a sentence for each other."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return "\n".join(map(_contract, contracts))


def _contract(contract: dict[str, Any]) -> str:
    name = f"**{contract['name']}**"
    if contract["type"] == "layers":
        tiers = [tier.replace("trailhouse.", "") for tier in contract["layers"]]
        return (
            f"{name}: each imports only what is below it\n\n```text\n"
            + "\n  ↓\n".join(tiers)
            + "\n```\n"
        )
    if contract["type"] == "forbidden":
        return f"{name}: {_names(contract['source_modules'])} never import {_names(contract['forbidden_modules'])}.\n"
    return f"{name}: {_names(contract['ancestors'])}.\n"


def _names(modules: list[str]) -> str:
    return ", ".join(f"`{module.removeprefix('trailhouse.')}`" for module in modules)


def framework_versions() -> str:
    """Return a table of the agent frameworks, with the versions that tests run."""
    rows = ["| Package | Tried with | Recorded by |", "|---|---|---|"]
    for name, known in KNOWN.items():
        recorder = f"`trailhouse.capture.{name}`" if name in FRAMEWORKS else "its spans"
        rows.append(f"| `{known.distribution}` | {known.tried} | {recorder} |")
    return "\n".join(rows) + "\n"


def error_tree() -> str:
    """Return the tree that the module of the errors draws in its docstring."""
    _, _, rest = inspect.cleandoc(errors.__doc__ or "").partition("::\n\n")
    drawn, _, _ = rest.partition("\n\n")
    return f"```text\n{textwrap.dedent(drawn)}\n```\n"


def filled(text: str, parts: dict[str, str]) -> str:
    """Return a document's *text* with its generated *parts* made anew."""
    for name, part in parts.items():
        opening, closing = f"<!-- {name}: made by `make docs` -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(opening)
        _, found_too, after = rest.partition(closing)
        if not (found and found_too):
            raise SystemExit(f"there is no part for the {name}")
        text = f"{before}{opening}\n{part}\n{closing}{after}"
    return text


def main() -> None:
    """Write the files."""
    for path, parts in made().items():
        path.write_text(filled(path.read_text(encoding="utf-8"), parts), encoding="utf-8")
    SCHEMA_FILE.write_text(json_schema.render(), encoding="utf-8")


if __name__ == "__main__":
    main()
