"""The shared vocabulary: events, types, runs and sessions, the codec, settings and errors."""

from trailhouse.schemas.codec import decode, event_of
from trailhouse.schemas.config import ClickHouseConfig, KafkaConfig, ProducerConfig, WorkerConfig
from trailhouse.schemas.event import AuditEvent
from trailhouse.schemas.event_type import EventType
from trailhouse.schemas.record import Actor, Source
from trailhouse.schemas.run import Run, Session

__all__ = [
    "Actor",
    "AuditEvent",
    "ClickHouseConfig",
    "EventType",
    "KafkaConfig",
    "ProducerConfig",
    "Run",
    "Session",
    "Source",
    "WorkerConfig",
    "decode",
    "event_of",
]
