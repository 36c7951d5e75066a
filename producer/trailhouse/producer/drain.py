"""Send what loggers that are gone have left in their spools."""

from trailhouse.producer.backlog import Backlog
from trailhouse.producer.outbox import Outbox, Stats
from trailhouse.producer.sender import Sender
from trailhouse.schemas.config import ProducerConfig
from trailhouse.schemas.uuid7 import uuid7


def drain(
    config: ProducerConfig, *, timeout_seconds: float, any_destination: bool = False
) -> Stats:
    """Send every orphaned spool, in order, and return the counters when all is acknowledged.

    Args:
        config: Where the spools lie and where the events go.
        timeout_seconds: Longest wait for the acknowledgements.
        any_destination: Send spools to the configured topic that were meant for another address.

    Raises:
        DeliveryTimeoutError: Not all in time; what is left stays in its spool. Retriable.
        BrokerRejectedError: The topic is missing, the broker refuses. Nothing is lost.
        SpoolUnavailableError: Some events were damaged and are set aside, all others acknowledged; or a
            spool cannot be read. Retriable once that is mended.
    """
    backlog = Backlog(config, uuid7(), "trailhouse spool drain")
    outbox = Outbox(config.queue_events, config.queue_bytes, backlog)
    try:
        if not outbox.adopt(any_destination=any_destination):
            return outbox.stats()
        sender = Sender(config, outbox)
        try:
            outbox.wait_empty(timeout_seconds)
        finally:
            sender.stop()
    finally:
        outbox.close()
    return outbox.stats()
