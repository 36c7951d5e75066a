"""`trailhouse demo`: the whole pipeline on this machine, with recorded runs, checked at the end."""

EXAMPLES = ("trailhouse demo",)


def demo() -> None:
    """Start the pipeline here, send recorded runs through it, and check what comes back.

    Starts Kafka, ClickHouse and a worker on free ports over a temporary folder, and stops them at
    the end. At last one stored row is changed behind the log's back, and `trailhouse verify` finds it.
    Exit code 0 only if every event that was emitted is read back equal and in order, and the change is found.
    """
    from trailhouse.cli.demo.demonstration import demonstrate
    from trailhouse.cli.output.console import progress, results

    demonstrate(results(), progress())
