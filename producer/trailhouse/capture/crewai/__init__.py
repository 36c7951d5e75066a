"""Records the crews, flows and agents of CrewAI: `install(audit)` is the one line."""

from trailhouse.capture.crewai.patches import install

__all__ = ["install"]
