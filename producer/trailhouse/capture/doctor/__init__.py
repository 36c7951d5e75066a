"""Tells what of an application's agents is recorded, and what nobody sees: `report`, within the application."""

from trailhouse.capture.doctor.examination import report
from trailhouse.capture.doctor.findings import CaptureReport, Finding, FrameworkState

__all__ = ["CaptureReport", "Finding", "FrameworkState", "report"]
