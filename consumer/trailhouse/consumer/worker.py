"""Start the worker in this process; what `trailhouse worker` calls."""

import asyncio


def run_worker() -> int:
    """Run the worker until SIGTERM or SIGINT and return the exit code of the process.

    Delivery:
        A record is committed to Kafka only after it is stored or quarantined.

    Returns:
        0 after a drain, 1 when the worker had to stop by itself; the log says why. A drain that
        takes longer than `drain_seconds` ends the process with 75 instead.

    Raises:
        ConfigError: A setting is wrong. Permanent; nothing was started.
    """
    from trailhouse.consumer.host.app import app  # Faust takes a second to import

    asyncio.set_event_loop(asyncio.new_event_loop())
    app.finalize()
    try:
        app.Worker(loop=asyncio.get_event_loop()).execute_from_commandline()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
