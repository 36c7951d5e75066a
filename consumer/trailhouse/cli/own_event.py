"""What a command has done is an event, by our own spooled producer; sealed where the service has a key."""

import datetime as dt
from collections.abc import Iterable, Mapping

CLOSE_SECONDS = 5.0


def log_own(type: str, name: str, each: Iterable[Mapping[str, object]], *, service: str) -> None:
    """Log events of *type*, one for the `data` in each of *each*, in the session of today that *name* begins.

    Where `[producer] seal_key_file` is set they are of the service whose key that is, and sealed; else of *service*.

    Delivery:
        When this returns, they are in the spool's files; they go to Kafka now, or by a later logger.

    Raises:
        ConfigError: A setting is wrong; nothing was written. Permanent.
        SpoolFullError, SpoolUnavailableError: Not all were written. Retriable.
    """
    from trailhouse.producer import AuditLogger, ProducerConfig

    moment = dt.datetime.now(dt.UTC)
    given = ProducerConfig(enabled=True, mode="durable", tenant_id="")
    if not (given.seal_key_file and given.service):
        given = ProducerConfig(
            enabled=True, mode="durable", tenant_id="", service=service, seal_key_file=""
        )
    logger = AuditLogger(given)
    try:
        for data in each:
            logger.log(
                type,
                session_id=f"{name}-{moment:%Y-%m-%d}",
                occurred_at=moment,
                data=dict(data),
            )
    finally:
        logger.close(CLOSE_SECONDS)
