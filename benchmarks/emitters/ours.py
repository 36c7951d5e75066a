"""Trailhouse: `AuditLogger.log`, in the mode that TRAILHOUSE_PRODUCER_MODE names."""

# mypy: ignore-errors
# pyright: basic

from caller import arguments, recorded, run

from trailhouse.producer import AuditLogger, ProducerConfig
from trailhouse.schemas import KafkaConfig

given = arguments()


def make():
    """Return how to log one event, and how to finish."""
    audit = AuditLogger(
        ProducerConfig(
            kafka=KafkaConfig(bootstrap_servers=given.bootstrap, topic=given.topic),
            spool_dir=given.folder,
            service="bench",
        )
    )

    def finish() -> int:
        audit.flush(120)
        acknowledged = audit.stats().acknowledged_total
        audit.close()
        return acknowledged

    return lambda event: audit.log(**event), finish


run(given, recorded(given), make)
