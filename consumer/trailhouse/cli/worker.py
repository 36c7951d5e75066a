"""`trailhouse worker`: store what the topic brings."""

import typer

EXAMPLES = ("trailhouse worker", "TRAILHOUSE_WORKER_WEB_PORT=6067 trailhouse worker")


def worker() -> None:
    """Run a worker: records from Kafka to ClickHouse, until SIGTERM or Ctrl-C."""
    from trailhouse.consumer.worker import run_worker

    raise typer.Exit(run_worker())
