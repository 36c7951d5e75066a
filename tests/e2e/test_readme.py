"""The README's own code, run as a newcomer runs it: on a stack of `trailhouse dev`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
RUN_ELSEWHERE = {
    "make demo": "by tests/e2e/test_demo.py",
    "make test": "by whoever runs this test",
    ".venv/bin/trailhouse dev -- .venv/bin/python program.py": "by this test, for the stack of all blocks",
}


def script() -> str:
    """Return one program that runs every block in the README's order, and stops at a failure."""
    parts = ["set -eu"]
    programs = 0
    for language, code in BLOCKS:
        if language == "python":
            programs += 1
            Path(f"program{programs}.py").write_text(code, encoding="utf-8")
            runner = "pytest -q -p no:cacheprovider" if "def test_" in code else "python"
            parts.append(f"{runner} program{programs}.py")
        elif language == "sh":
            lines = [line for line in code.splitlines() if line not in RUN_ELSEWHERE]
            parts += lines
        elif language == "sql":
            parts.append(
                "curl --fail --silent --show-error -u default:$TRAILHOUSE_CLICKHOUSE_PASSWORD"
                f" $TRAILHOUSE_CLICKHOUSE_URL --data-binary '{code}'"
            )
        else:
            assert language == "text", f"nothing runs a block of {language}"
    return "\n".join(parts)


@pytest.mark.long
def test_the_readmes_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program, command and query of the README runs in order and does what it says."""
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",  # pytest keeps what it compiled beside a program
    }
    command = [sys.executable, "-m", "trailhouse.cli", "dev", "--", "sh", "-c", script()]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )

    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert re.search(r"^[0-9a-f-]{36} trailhouse\.events \d+ \d+$", result.stdout, re.MULTILINE), (
        result.stdout
    )
    printed = result.stdout.splitlines()[:3]
    assert [line.split(" ", 2)[2] for line in printed] == [
        "acme helper run_started {'agent_id': 'helper', 'run_status': 'pending'}",
        "acme helper tool_call_started {'tool_name': 'search'}",
        "acme helper run_completed {'agent_id': 'helper', 'cost_usd': 0.0031, 'token_usage': {'input_tokens': 812}}",
    ]
    assert "1 passed" in result.stdout, result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "program1.py",
        "program2.py",
        "program3.py",
        "program4.py",
        "program5.py",
        "program6.py",
        "program7.py",
    ], "running the programs left files in the folder"
