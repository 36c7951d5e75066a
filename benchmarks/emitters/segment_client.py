"""Segment's client, its HTTP request replaced by one that encodes and counts.

Follows "Analytics for Python" of Segment's documentation (segment.com/docs, "Python"): `track`, `flush`; the
queue is large enough for nothing to be dropped.
"""

# mypy: ignore-errors
# pyright: basic

import json

import segment.analytics.consumer as consumer
from caller import arguments, recorded, run
from segment.analytics.client import Client
from segment.analytics.request import DatetimeSerializer

given = arguments()
sent = 0


class Answer:
    """What the server would have said."""

    status_code = 200

    def __init__(self) -> None:
        self.headers = {}


def post(*_args, **body):
    """Encode a batch as the client does, and count it."""
    global sent
    sent += len(body["batch"])
    json.dumps({"batch": body["batch"]}, cls=DatetimeSerializer)
    return Answer()


def make():
    """Return how to log one event, and how to finish."""
    consumer.post = post
    client = Client("key", max_queue_size=4 * given.events + 1_000)

    def log(event) -> None:
        client.track(event["session_id"], event["type"], event.get("data"))

    def finish() -> int:
        client.flush()
        client.join()
        return sent

    return log, finish


run(given, recorded(given), make)
