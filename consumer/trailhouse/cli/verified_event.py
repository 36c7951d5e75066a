"""A run of `trailhouse verify` is an event `audit_verified`, by our own spooled producer."""

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.operate.verify.report import Report

CLOSE_SECONDS = 5.0


def log_verified(report: "Report") -> None:
    """Log that *report* was made.

    Delivery:
        When this returns, the event is in the spool's file; it goes to Kafka now, or by a later logger.

    Raises:
        ConfigError: A setting is wrong; nothing was written. Permanent.
        SpoolFullError, SpoolUnavailableError: Nothing was written. Retriable.
    """
    from trailhouse.producer import AuditLogger, ProducerConfig
    from trailhouse.schemas import EventType

    moment = dt.datetime.now(dt.UTC)
    config = ProducerConfig(enabled=True, mode="durable", service="trailhouse-verify", tenant_id="")
    logger = AuditLogger(config)
    try:
        logger.log(
            EventType.AUDIT_VERIFIED,
            session_id=f"audit-verified-{moment:%Y-%m-%d}",
            occurred_at=moment,
            data=data_of(report),
        )
    finally:
        logger.close(CLOSE_SECONDS)


def data_of(report: "Report") -> dict[str, object]:
    """Return what is said of *report*: its verdict, and what each duty has checked and found, without places."""
    return {
        "verdict": str(report.verdict),
        "scope": "all" if report.is_all else "part",
        "duties": {
            duty.name: {
                "verdict": str(duty.verdict),
                "checked": duty.checked,
                "findings": len(duty.findings),
            }
            for duty in report.duties
        },
        "leaves": sum(report.sizes.values()),
        "duration_ms": round(report.seconds * 1_000, 3),
    }
