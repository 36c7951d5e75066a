"""What an operator does with the pipeline, as functions: each door, such as the command line, prints their answers."""

from trailhouse.operate.requeue import Requeued, requeue
from trailhouse.operate.status import KafkaState, PipelineStatus, StoreState, pipeline_status

__all__ = [
    "KafkaState",
    "PipelineStatus",
    "Requeued",
    "StoreState",
    "pipeline_status",
    "requeue",
]
