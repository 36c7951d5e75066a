"""What the sender hands over, without a broker."""

from trailhouse.producer import ProducerConfig
from trailhouse.producer.delivery.send_queue import SendQueue
from trailhouse.producer.delivery.sender import MOST_AT_ONCE, Sender
from trailhouse.producer.spool.queued_event import QueuedEvent
from trailhouse.schemas import KafkaConfig


def test_a_long_queue_is_handed_over_in_parts() -> None:
    """A caller, and an event loop that logs, waits for a part of the queue to be handed over, never for all."""
    config = ProducerConfig(kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1"), mode="memory")
    queue = SendQueue(config.queue_events, config.queue_bytes)
    sender = Sender(config, queue)  # whose thread is not started
    queue.waiting += [QueuedEvent("id", b"key", b"record") for _ in range(MOST_AT_ONCE + 10)]
    sender.send_waiting()
    assert (len(queue.sent), len(queue.waiting)) == (MOST_AT_ONCE, 10)
    sender.send_waiting()
    assert (len(queue.sent), len(queue.waiting)) == (MOST_AT_ONCE + 10, 0)
    sender.stop()
