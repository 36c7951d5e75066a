"""Write what is made from the code: the README's tables and the JSON Schema. Run by `make docs`."""

import re
from pathlib import Path

from trailhouse.cli import reference
from trailhouse.schemas import json_schema

ROOT = Path(__file__).parents[1]
SCHEMA_FILE = ROOT / "schemas" / "trailhouse" / "schemas" / json_schema.FILE_NAME


def readme(text: str) -> str:
    """Return the README's *text* with its generated parts made anew."""
    for name, part in (("commands", reference.render()), ("settings", reference.render_settings())):
        pattern = rf"(<!-- {name}: made by `make docs` -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(
            pattern,
            lambda found, part=part: f"{found[1]}\n{part}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"README.md has no part for the {name}")
    return text


def main() -> None:
    """Write the files."""
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA_FILE.write_text(json_schema.render(), encoding="utf-8")


if __name__ == "__main__":
    main()
