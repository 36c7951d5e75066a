"""Write what is made from the code: the README's tables and the JSON Schema. Run by `make docs`."""

from pathlib import Path

from trailhouse.cli import reference
from trailhouse.schemas import json_schema

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "schemas" / "trailhouse" / "schemas" / json_schema.FILE_NAME


def readme(text: str) -> str:
    """Return the README's *text* with its generated parts made anew."""
    for name, part in (("commands", reference.render()), ("settings", reference.render_settings())):
        opening, closing = f"<!-- {name}: made by `make docs` -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(opening)
        _, found_too, after = rest.partition(closing)
        if not (found and found_too):
            raise SystemExit(f"README.md has no part for the {name}")
        text = f"{before}{opening}\n{part}\n{closing}{after}"
    return text


def main() -> None:
    """Write the files."""
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA_FILE.write_text(json_schema.render(), encoding="utf-8")


if __name__ == "__main__":
    main()
