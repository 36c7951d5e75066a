"""The verdict as Prometheus reads it from a file of node_exporter's: what to alert on."""

import datetime as dt
import os
from pathlib import Path

from trailhouse.operate.verify.report import Outcome, Report
from trailhouse.schemas.errors import ConfigError

_CODES = {Outcome.INTACT: 0, Outcome.FOUND: 1, Outcome.COULD_NOT_CHECK: 2}


def metrics_text(report: Report, at: dt.datetime) -> str:
    """Return *report*, made *at* that time, in Prometheus' text format."""
    lines = [
        "# HELP trailhouse_verify_verdict 0 intact, 1 found, 2 could not check.",
        "# TYPE trailhouse_verify_verdict gauge",
        f"trailhouse_verify_verdict {_CODES[report.verdict]}",
        "# HELP trailhouse_verify_time_seconds When it was made, since 1970.",
        "# TYPE trailhouse_verify_time_seconds gauge",
        f"trailhouse_verify_time_seconds {at.timestamp():.3f}",
        "# HELP trailhouse_verify_duration_seconds How long it took.",
        "# TYPE trailhouse_verify_duration_seconds gauge",
        f"trailhouse_verify_duration_seconds {report.seconds:.3f}",
        "# HELP trailhouse_verify_findings What each duty has found.",
        "# TYPE trailhouse_verify_findings gauge",
    ]
    lines += [
        f'trailhouse_verify_findings{{duty="{duty.name}"}} {len(duty.findings)}'
        for duty in report.duties
    ]
    return "\n".join(lines) + "\n"


def write_metrics(path: Path, report: Report, at: dt.datetime) -> None:
    """Write them to *path*, whole or not at all.

    Raises:
        ConfigError: It cannot be written. Permanent until that is mended.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(metrics_text(report, at))
        os.replace(beside, path)  # noqa: PTH105 - atomic
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from None
