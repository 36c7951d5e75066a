"""Send what loggers that are gone have left in their spools."""

from trailhouse.producer.config import ProducerConfig
from trailhouse.producer.delivery.ack_waits import wait_empty
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.delivery.sender import Sender
from trailhouse.producer.receipt import bounded
from trailhouse.producer.spool.queue import SpoolQueue
from trailhouse.producer.stats import Stats
from trailhouse.schemas.errors import SpoolUnavailableError


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
        DeliveryRejectedError: The topic is missing, the broker refuses. Permanent until mended; nothing is
            lost.
        SpoolDamagedError: Some events were damaged. Permanent: they are set aside, all others acknowledged.
        SpoolUnavailableError: A spool cannot be read. Retriable once that is mended.
    """
    timeout = bounded(timeout_seconds)
    spool_queue = SpoolQueue(config, "trailhouse spool drain")
    queue = SendQueue(config.queue_events, config.queue_bytes, spool_queue)
    try:
        if queue.adopt(any_destination=any_destination):
            sender = Sender(config, queue, adopts=False)
            sender.start()
            try:
                wait_empty(queue, timeout)
            finally:
                sender.stop()
        if unreadable := spool_queue.orphans.unreadable_total:
            raise SpoolUnavailableError(
                f"{unreadable} spools in {spool_queue.root} cannot be read, and are left as they are:"
                " `trailhouse spool status` names them"
            )
    finally:
        queue.close()
    return queue.stats()
