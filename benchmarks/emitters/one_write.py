"""The least that keeps an event: one line of JSON, by one write to a file."""

# mypy: ignore-errors
# pyright: basic

import os
from pathlib import Path

import msgspec
from caller import arguments, recorded, run

given = arguments()


def make():
    """Return how to log one event, and how to finish."""
    path = Path(given.folder) / "lines.jsonl"
    file, encode = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), msgspec.json.encode

    def log(event) -> None:
        os.write(file, encode(event) + b"\n")

    def finish() -> int:
        os.close(file)
        with path.open("rb") as lines:
            return sum(1 for _ in lines)

    return log, finish


run(given, recorded(given), make)
