"""The dev stack on a system without Landlock: it runs, and says in one line what is open."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster

# From here on the kernel answers Landlock's calls 444 to 446 as one that does not know them (ENOSYS).
WITHOUT_LANDLOCK = """
import ctypes, struct
code = [(0x20, 0, 0, 0), (0x35, 0, 2, 444), (0x25, 1, 0, 446), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(filter)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
"""

RUN = """
import pathlib, sys, urllib.error, urllib.request
from trailhouse.devstack import DevStack

def ask(sql, password):
    url = variables["TRAILHOUSE_CLICKHOUSE_URL"]
    request = urllib.request.Request(url, sql.encode(), {"X-ClickHouse-Key": password})
    try:
        return urllib.request.urlopen(request, timeout=120).read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code

with DevStack(pathlib.Path(sys.argv[1]), parts=("clickhouse",), echo=lambda line: print(line)) as stack:
    variables = stack.environment()
    password = variables["TRAILHOUSE_CLICKHOUSE_PASSWORD"]
    print("answer", ask("SELECT 42", password))
    print("stranger", ask("SELECT 42", ""))
    print("network", ask("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a UInt64')", password))
"""


def run(folder: Path, before: str) -> list[str]:
    """Start the stack's ClickHouse behind *before* and return what was printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", before + RUN, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_landlock_it_runs_and_says_what_is_open(tmp_path: Path) -> None:
    """One line says that SQL reaches the owner's files; the password and the grants hold all the same."""
    lines = run(tmp_path / "data", WITHOUT_LANDLOCK)
    [warning] = [line for line in lines if "Landlock" in line]
    assert "can read and write your files by SQL" in warning
    assert lines.index(warning) == 0, "it is said before anything is open"
    assert {"answer 42", "stranger 403", "network 403"} <= set(lines), lines
    log = (tmp_path / "data" / "logs" / "clickhouse.log").read_text()
    assert "no Landlock" in log


def test_with_landlock_nothing_is_said_of_it(tmp_path: Path) -> None:
    """Where SQL is confined there is no warning."""
    lines = run(tmp_path / "data", "")
    assert not any("Landlock" in line for line in lines), lines
    assert {"answer 42", "stranger 403"} <= set(lines)
