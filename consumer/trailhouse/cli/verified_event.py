"""A run of `trailhouse verify` is an event `audit_verified`, by our own spooled producer."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse.operate.verify.report import Report


def log_verified(report: "Report") -> None:
    """Log that *report* was made.

    Delivery:
        When this returns, the event is in the spool's file; it goes to Kafka now, or by a later logger.

    Raises:
        ConfigError: A setting is wrong; nothing was written. Permanent.
        SpoolFullError, SpoolUnavailableError: Nothing was written. Retriable.
    """
    from trailhouse.cli.own_event import log_own
    from trailhouse.schemas import EventType

    log_own(
        EventType.AUDIT_VERIFIED,
        "audit-verified",
        [data_of(report)],
        service="trailhouse-verify",
    )


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
