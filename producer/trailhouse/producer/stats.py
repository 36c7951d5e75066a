"""The counters of a logger."""

import msgspec


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one logger in this process since its start. Nothing is lost without one moving."""

    queued_events: int
    """Events that the broker has not acknowledged, in memory and in the spool."""
    queued_bytes: int
    """Bytes of those in memory."""
    spool_bytes: int
    """Bytes that the spool takes on the disk."""
    acknowledged_total: int
    adopted_total: int
    """Events of loggers that are gone, sent in their place."""
    refused_total: int
    """Events that the broker refused for good, or that were damaged on the disk: set aside in the spool."""
    queue_full_total: int
    lost_total: int
    """Events that were not acknowledged at `close` in mode ``memory``."""
    unreadable_spools_total: int = 0
    """Spools of loggers that are gone that were left as they are, since they cannot be read; our log says why."""
    unlogged_total: int = 0
    """Events that were reported or recorded and that could not be logged; our log says which, and why."""
    redaction_failures_total: int = 0
    """Events whose content was taken out as a whole, since what is secret in it could not be told; our log says why."""
    open_runs: int = 0
    """Runs that are recorded and have not ended."""
    abandoned_runs_total: int = 0
    """Runs whose end nobody reported: logged as `run_abandoned`."""
    sessions_missing_total: int = 0
    """Runs that nobody gave a session: recorded under their trace or run id."""
