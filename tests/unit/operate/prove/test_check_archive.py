"""Bundles as files: each byte flipped, cut, hostile archives; and the checker as a program of its own."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from bundle_checkers import codes_of_both, expect
from made_bundle import LOG_KEY, PIN, MadeLog
from trailhouse.operate.prove.bundle_files import archive_of, bundle_of
from trailhouse.operate.prove.check import check, main, read_archive

MADE = MadeLog()
SIGNED = bundle_of(MADE.whole_session("session-1"), LOG_KEY)


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_each_byte_flipped_is_found(mask: int) -> None:
    """Wherever in the file: archive, names, records, proofs, signatures, readme. Long texts at every 61st byte."""
    bundle = bundle_of(MADE.evidence(MADE.events[:2]), LOG_KEY)
    files = read_archive(bundle)
    start = bundle.index(files["check.py"])
    long = range(start, start + len(files["check.py"]))
    readme = range(100, 100 + len(files["README.txt"]) - 100)
    places = [
        at for at in range(len(bundle)) if at % 61 == 0 or (at not in long and at not in readme)
    ]
    for at in places:
        flipped = bundle[:at] + bytes([bundle[at] ^ mask]) + bundle[at + 1 :]
        assert check(flipped, PIN)[0] == 1, at
    some = [bundle[:at] + bytes([bundle[at] ^ mask]) + bundle[at + 1 :] for at in places[::37]]
    assert set(codes_of_both(some, PIN)) == {(1, 1)}


def test_cut_or_longer_archives_are_refused() -> None:
    """Wherever it ends, and whatever stands before or behind it."""
    cut = {f"cut at {at}": SIGNED[:at] for at in (0, 3, 4, 29, 30, 100, len(SIGNED) // 2, -22, -1)}
    more = {"before": b"x" + SIGNED, "behind": SIGNED + b"x", "twice": SIGNED + SIGNED}
    expect(cut | more | {"of no file": archive_of({})}, 1)


def _zip(
    entries: Sequence[tuple[zipfile.ZipInfo | str, bytes]], how: int = zipfile.ZIP_STORED
) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        for name, data in entries:
            archive.writestr(name, data, how)
    return made.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused() -> None:
    """Names that climb, links, names twice, what swells, and any zip but the one that a bundle can be."""
    files = list(read_archive(SIGNED).items())
    link = zipfile.ZipInfo("events/000000.record")
    link.external_attr = 0o120777 << 16
    bomb = [*files[:-1], ("policies/000001.policy", bytes(10_000_000))]
    expect(
        {
            "slip": archive_of(dict(files) | {"../../etc/passwd": b"x"}),
            "absolute": archive_of(dict(files) | {"/etc/passwd": b"x"}),
            "backslash": archive_of(dict(files) | {"..\\x": b"x"}),
            "odd name": archive_of(dict(files) | {"events/0000001.record": b"x"}),
            "link": _zip([*files, (link, b"/etc/passwd")]),
            "twice": _zip([*files, files[0]]),
            "bomb": _zip(bomb, zipfile.ZIP_DEFLATED),
            "compressed": _zip(files, zipfile.ZIP_DEFLATED),
            "another writer": _zip(files),
        },
        1,
    )


def test_the_program_alone(tmp_path: Path) -> None:
    """check.py, taken out of the bundle into an empty folder, runs without Trailhouse, and its exit code tells."""
    (tmp_path / "check.py").write_bytes(read_archive(SIGNED)["check.py"])
    (tmp_path / "bundle.zip").write_bytes(SIGNED)
    (tmp_path / "cut.zip").write_bytes(SIGNED[:-1])
    block = "import sys; sys.modules['trailhouse'] = None; import runpy; sys.argv = sys.argv[1:]; "
    for arguments, code, last in (
        (["bundle.zip", "--owner", PIN], 0, "PROVEN"),
        (["bundle.zip"], 2, "NOT ALL CHECKED"),
        (["cut.zip", "--owner", PIN], 1, "NOT PROVEN"),
        (
            ["missing.zip", "--owner", PIN],
            2,
            "NOT CHECKED: the file cannot be read (No such file or directory)",
        ),
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                block + "runpy.run_path('check.py', run_name='__main__')",
                "check.py",
                *arguments,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout.splitlines()[-1]) == (code, last), done.stderr


def test_main_reads_no_more_than_a_bundle_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of any size is not read into memory."""
    monkeypatch.setattr("trailhouse.operate.prove.check.MAX_BUNDLE_BYTES", len(SIGNED) - 1)
    path = tmp_path / "bundle.zip"
    path.write_bytes(SIGNED)
    assert main([str(path), "--owner", PIN]) == 2
