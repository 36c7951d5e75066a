"""Python's `logging` with its `FileHandler`: what a host pays for a line of a log that it writes anyway."""

# mypy: ignore-errors
# pyright: basic

import json
import logging
from pathlib import Path

from caller import arguments, recorded, run

given = arguments()


def make():
    """Return how to log one event, and how to finish."""
    path = Path(given.folder) / "python.log"
    handler, logger = logging.FileHandler(path), logging.getLogger("bench")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False

    def log(event) -> None:
        logger.info("%s", json.dumps(event))

    def finish() -> int:
        handler.close()
        with path.open("rb") as lines:
            return sum(1 for _ in lines)

    return log, finish


run(given, recorded(given), make)
