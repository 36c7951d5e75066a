"""`trailhouse init`: make the topic and the tables."""

from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

EXAMPLES = ("trailhouse init --dry-run", "trailhouse init")


def init(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Make the topic and the tables; running it again mends what is missing, and touches no data."""
    from trailhouse.operate.setup import apply_init, plan_init
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store.config import ClickHouseConfig

    kafka, clickhouse = KafkaConfig(), ClickHouseConfig()
    steps = plan_init(kafka, clickhouse) if dry_run else apply_init(kafka, clickhouse, tell_step)
    if written(format, steps):
        return
    words = {
        "create": "would create" if dry_run else "created",
        "keep": "is there",
        "differs": "left alone, it differs",
    }
    for step in steps:
        say(f"{step.subject}: {words[step.action]} ({step.detail})")
