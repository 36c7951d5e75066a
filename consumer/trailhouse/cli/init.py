"""`trailhouse init`: make the topic and the tables, the log's key, and store its policy."""

from typing import Annotated

import typer

from trailhouse.cli.output.console import say, tell_step
from trailhouse.cli.output.formats import Format, FormatOption
from trailhouse.cli.output.written import written

EXAMPLES = ("trailhouse init --dry-run", "trailhouse init", "trailhouse init --text-index")


def init(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")
    ] = False,
    text_index: Annotated[
        bool,
        typer.Option(
            "--text-index",
            help="Also index the text of `data`: words are found quickly; docs/performance.md has the price.",
        ),
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """Make the topic and the tables; running it again mends what is missing, and touches no data.

    Where the settings name a log (`proof.log_name`), its key is made unless it is there, and its policy is stored.
    An index on text stays: to be rid of it, ALTER TABLE event_log DROP INDEX by_text.
    """
    from trailhouse.operate.first_setup import plan_setup, set_up
    from trailhouse.proof.config import ProofConfig
    from trailhouse.schemas.kafka_config import KafkaConfig
    from trailhouse.store.config import ClickHouseConfig

    kafka, clickhouse, proof = KafkaConfig(), ClickHouseConfig(), ProofConfig()
    steps = (
        plan_setup(kafka, clickhouse, proof, with_text_index=text_index)
        if dry_run
        else set_up(kafka, clickhouse, proof, tell_step, with_text_index=text_index)
    )
    if written(format, steps):
        return
    words = {
        "create": "would create" if dry_run else "created",
        "keep": "is there",
        "differs": "left alone, it differs",
    }
    for step in steps:
        say(f"{step.subject}: {words[step.action]} ({step.detail})")
