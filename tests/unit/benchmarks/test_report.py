"""Where the tables go."""

from benchmarks.__main__ import SECTIONS
from benchmarks.report import DOCUMENT


def test_each_section_has_its_place_in_the_document() -> None:
    """Else a run of minutes ends with nowhere to write."""
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [
        name
        for name in (*SECTIONS, "aims")
        if f"<!-- {name} -->\n" not in text or f"<!-- /{name} -->" not in text
    ]
    assert missing == []
