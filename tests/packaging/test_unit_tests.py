"""Where every module has unit tests: a file of its name, in the same room of `tests/unit`."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "consumer" / "trailhouse" / "consumer"
TESTS = ROOT / "tests" / "unit" / "consumer"


def modules() -> list[str]:
    """Return each module of a membership, by its path within the worker."""
    return sorted(
        str(file.relative_to(WORKER))
        for file in (WORKER / "membership").rglob("*.py")
        if file.name != "__init__.py"
    )


def test_the_rooms_are_found() -> None:
    """A folder that was renamed would leave nothing to hold."""
    assert {"membership/session.py", "membership/poison_pills/recovery.py"} <= set(modules())


@pytest.mark.parametrize("module", modules())
def test_each_module_has_its_unit_tests(module: str) -> None:
    """With tests in it, that name the module."""
    file = TESTS / Path(module).parent / f"test_{Path(module).name}"
    assert file.is_file(), f"{file.relative_to(ROOT)} is missing"
    text = file.read_text(encoding="utf-8")
    assert "def test_" in text
    assert f"membership.{module[len('membership/') : -3].replace('/', '.')}" in text.replace(
        " import ", "."
    )


def test_each_file_of_tests_has_its_module() -> None:
    """None is left behind by a module that has gone or is called otherwise."""
    tested = {
        str(file.relative_to(TESTS).with_name(file.name.removeprefix("test_")))
        for file in (TESTS / "membership").rglob("test_*.py")
    }
    assert tested == set(modules())
