"""`trailhouse proof manifest`: the list of each finished day's sessions, made now."""

import datetime as dt

from trailhouse.cli.output.console import say
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

EXAMPLES = "Example:\n\ntrailhouse proof manifest"


def manifest(format: FormatOption = Format.TABLE) -> None:
    """Make the manifest of each day that is finished and has none; the next anchor names them.

    A worker does it by itself. A day of a partition is finished when that has a record of a later day.
    """
    from trailhouse.anchoring.day_manifests import make_finished_days
    from trailhouse.proof.config import ProofConfig
    from trailhouse.schemas.errors import ConfigError
    from trailhouse.store import ClickHouse, ClickHouseConfig

    config = ProofConfig()
    if not config.log_name:
        raise ConfigError("proof.log_name: is not set: `trailhouse proof init` names the log")
    with ClickHouse(ClickHouseConfig()) as storage:
        made = make_finished_days(storage, config.log_name, lambda: dt.datetime.now(dt.UTC))
    answer = [
        {"day": e.day, "origin": e.origin, "sessions": e.sessions, "root": e.root.hex()}
        for e in made
    ]
    if not written(format, answer):
        for each in made:
            say(f"{each.day}  {each.origin}  sessions: {each.sessions}")
        if not made:
            say("every finished day has its manifest")
