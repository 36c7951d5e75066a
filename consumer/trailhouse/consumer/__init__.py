"""The worker: from Kafka into ClickHouse, every record once in a reader's view."""

from trailhouse.consumer.worker import run_worker

__all__ = ["run_worker"]
