"""Writes what was measured into docs/performance.md, between its marks, and draws the plot beside it."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import aims
from benchmarks.environments import python_of

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"
IMAGE = ROOT / "docs" / "performance.png"
RESULTS = ROOT / "benchmarks" / "results.json"


def write(
    results: Mapping[str, Any], tables: Mapping[str, Callable[[dict[str, Any]], str]]
) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->`` for every section of *results*."""
    text = DOCUMENT.read_text(encoding="utf-8")
    bodies = {name: f"{tables[name](each)}\n\n*{_on(each)}*" for name, each in results.items()}
    for name, body in ({"aims": aims.table(results)} | bodies).items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda found, body=body: f"{found[1]}\n{body}\n\n{found[2]}",  # type: ignore[misc]  # bound at once
            text,
            flags=re.DOTALL,
        )
        if not count:
            raise SystemExit(
                f"benchmarks: {DOCUMENT.name} has no place for {name}: <!-- {name} --> <!-- /{name} -->"
            )
    DOCUMENT.write_text(text, encoding="utf-8")
    subprocess.run(
        [str(python_of("plot")), str(ROOT / "benchmarks" / "plot.py"), str(RESULTS), str(IMAGE)],
        check=True,
    )


def _on(section: Mapping[str, Any]) -> str:
    on = section["on"]
    return (
        f"{section['plan']} plan, {section['seconds']} s, {on['date']}; {on['machine']}; load {on['load']:.1f} at the"
        f" start; {on['versions']}; what else ran: {on['others']}"
    )
