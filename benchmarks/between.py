"""Two states of the code side by side: drain, session read and emit, in interleaved rounds on one stack.

Examples::

    git clone . ../before && git -C ../before checkout 1.0 && make -C ../before .venv/.ready
    python -m benchmarks.between ../before
    python -m benchmarks.between ../before --rounds 6 --events 800000
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from benchmarks.rounds import Rounds, interleaved
from trailhouse.devstack import DevStack

HERE = Path(__file__).parent.parent
CONTESTANTS = ("before", "now")


def main() -> None:
    """Compare, and print a table: medians, and the median of the ratios within the rounds."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.between",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("before", type=Path, help="a clone that has its own .venv")
    options.add_argument("--rounds", type=int, default=4, help="interleaved rounds (default 4)")
    options.add_argument("--events", type=int, default=400_000, help="to drain (default 400,000)")
    options.add_argument("--calls", type=int, default=6_000, help="of `log` (default 6,000)")
    given = options.parse_args()
    folders: dict[str, Path] = {"before": given.before.resolve(), "now": HERE}
    for folder in folders.values():
        if not _python(folder).exists():
            raise SystemExit(
                f"benchmarks: {folder} has no environment: run `make -C {folder} .venv/.ready`"
            )
    with (
        tempfile.TemporaryDirectory(prefix="trailhouse-between-") as work,
        DevStack(Path(work), parts=("kafka", "clickhouse")) as stack,
    ):
        # What is set to a default is left out: an older program may know no such value.
        settings = stack.environment()
        settings.pop("TRAILHOUSE_CLICKHOUSE_ASYNC_INSERT")
        found = measure(settings, folders, given.rounds, given.events, given.calls)
    on = "; ".join(f"{name}: {value}" for name, value in described().items())
    print(f"\n{on}\n\n{table(found)}")


def measure(
    environment: dict[str, str], folders: dict[str, Path], rounds: int, events: int, calls: int
) -> dict[str, Rounds]:
    """Return what each of *folders* measured, by section."""

    def ask(name: str, what: str, **given: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="trailhouse-anchors-") as anchors:
            # Each database has anchors of its own: those of another would contradict it.
            own = environment | {"TRAILHOUSE_PROOF_ANCHORS": f"folder:{anchors}"}
            return _asked(folders[name], what, own, given)

    found = {section: Rounds() for section in ("drain", "read", "emit")}
    topic = ask("now", "fill", events=events)["topic"]
    for number, name in interleaved(CONTESTANTS, rounds):
        drained = ask(name, "drain", topic=topic, events=events)
        read = ask(name, "read", topic=topic, database=drained.pop("database"))
        for section, values in (
            ("drain", drained),
            ("read", read),
            ("emit", ask(name, "emit", events=calls)),
        ):
            found[section].add(number, name, values)
            _say(f"round {number + 1}, {name}: {section} {_shown(values)}")
    return found


def table(found: dict[str, Rounds]) -> str:
    """Return *found* as a Markdown table."""
    lines = ["| what | before | now | now / before |", "|---|---|---|---|"]
    for section, rounds in found.items():
        for quantity in rounds.rounds[0]["now"]:
            before, now = (rounds.spread(name, quantity).median for name in CONTESTANTS)
            ratio = rounds.ratio("now", "before", quantity)
            lines.append(
                f"| {section}: {quantity} | {before:,.1f} | {now:,.1f} | {ratio.median:.3f} × |"
            )
    return "\n".join(lines)


def _asked(
    folder: Path, what: str, environment: dict[str, str], given: dict[str, Any]
) -> dict[str, Any]:
    script = "import sys; sys.path.insert(0, '.'); from benchmarks.contestant import main; main()"
    command = [str(_python(folder)), "-c", script, what, json.dumps(environment), json.dumps(given)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks: {what} in {folder} failed: {done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _python(folder: Path) -> Path:
    return folder / ".venv" / "bin" / "python"


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in values.items())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
