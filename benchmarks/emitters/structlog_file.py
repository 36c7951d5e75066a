"""structlog to a file, as its page on performance advises.

Follows "Performance" of structlog's documentation (www.structlog.org): orjson, `BytesLoggerFactory`, a filtering
bound logger, the logger cached on first use.
"""

# mypy: ignore-errors
# pyright: basic

import logging
from pathlib import Path

import orjson
import structlog
from caller import arguments, recorded, run

given = arguments()


def make():
    """Return how to log one event, and how to finish."""
    path = Path(given.folder) / "structlog.jsonl"
    file = path.open("wb")
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=file),
    )
    logger = structlog.get_logger()

    def log(event) -> None:
        logger.info(
            event["type"], **{name: value for name, value in event.items() if name != "type"}
        )

    def finish() -> int:
        file.close()
        with path.open("rb") as lines:
            return sum(1 for _ in lines)

    return log, finish


run(given, recorded(given), make)
